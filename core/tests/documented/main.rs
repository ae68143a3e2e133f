//! What the documentation says of defaults and of errors is what the code says.

mod defaults;
mod errors;
