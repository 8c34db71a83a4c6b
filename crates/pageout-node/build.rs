//! Linker settings of a Node addon.

fn main() {
    napi_build::setup();
    let system = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    let arguments: &[&str] = match system.as_str() {
        // A thread of JavaScript that ends unloads the addon, unless another has it loaded. A background thread, what runs at a
        // fork and what runs when a thread ends are in it, so it stays. A Mac unloads no library with thread-local variables, as
        // this one has, and musl none at all.
        "linux" => &["-Wl,-z,nodelete"],
        // A library records its name and what it needs: else the path of the machine that linked it, and libraries that
        // the standard library names without need.
        "macos" => &["-Wl,-install_name,@rpath/pageout.node", "-Wl,-dead_strip_dylibs"],
        _ => &[],
    };
    for argument in arguments {
        println!("cargo::rustc-cdylib-link-arg={argument}");
    }
}
