//! Prepares the link of the addon.

fn main() {
    napi_build::setup();
    // A worker that ends unloads the addon while the runtime's threads still
    // run its code, unless the image is pinned.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
