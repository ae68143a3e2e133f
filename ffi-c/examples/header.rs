//! Writes `include/longwire.h`, or with `--check` tells whether it is current.
//!
//! cbindgen sorts a crate into constants, types and functions; a header that is
//! to be read goes noun by noun. So each module is translated by itself, and
//! the pieces are put together between the texts in `ffi-c/header`.

use std::error::Error;
use std::fs;
use std::path::Path;

/// The chapters of the header: title and module.
const NOUNS: [(&str, &str); 13] = [
    ("Version", "version"),
    ("Errors", "error"),
    ("Configuration", "config"),
    ("Configuration: reconnecting", "config/reconnect"),
    ("Configuration: log", "config/log"),
    ("Configuration: TLS", "config/tls"),
    ("Configuration: compression", "config/compression"),
    ("Events", "event"),
    ("Clients", "client"),
    ("Questions", "question"),
    ("Statistics", "stats"),
    ("Sending", "sending"),
    ("Messages", "message"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = crate_dir.join("../include/longwire.h");
    let header = header(crate_dir)?;
    let check = std::env::args().nth(1).is_some_and(|argument| argument == "--check");
    if !check {
        fs::create_dir_all(target.parent().expect("the header is in a folder"))?;
        fs::write(&target, header)?;
    } else if fs::read_to_string(&target)? != header {
        return Err("include/longwire.h is not what ffi-c/src says: run `make c-header`".into());
    }
    Ok(())
}

fn header(crate_dir: &Path) -> Result<String, Box<dyn Error>> {
    let mut header = fs::read_to_string(crate_dir.join("header/before.h"))?;
    for (title, module) in NOUNS {
        let config = cbindgen::Config::from_file(crate_dir.join("cbindgen.toml"))?;
        let bindings = cbindgen::Builder::new()
            .with_config(config)
            .with_src(crate_dir.join(format!("src/{module}.rs")))
            .generate()?;
        let mut text = Vec::new();
        bindings.write(&mut text);
        let rule = "-".repeat(80 - title.len());
        header += &format!("\n/* {title} {rule} */\n\n{}\n", String::from_utf8(text)?.trim());
    }
    header += &fs::read_to_string(crate_dir.join("header/after.h"))?;
    Ok(header)
}
