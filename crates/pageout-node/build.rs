//! Linker settings of a Node addon.

fn main() {
    napi_build::setup();
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "macos") {
        // A library records its name and what it needs: else the path of the machine that linked it, and libraries that
        // the standard library names without need.
        for argument in ["-Wl,-install_name,@rpath/pageout.node", "-Wl,-dead_strip_dylibs"] {
            println!("cargo::rustc-cdylib-link-arg={argument}");
        }
    }
}
