//! Compiles the conformance suite's `.proto` files, which are another project's and not in this repository.
//!
//! `CONNECT_CONFORMANCE_PROTO` names the directory that holds them; without it an empty program is built, so that a
//! plain clone compiles. `run.sh` sets it.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rustc-check-cfg=cfg(has_suite)");
    println!("cargo:rerun-if-env-changed=CONNECT_CONFORMANCE_PROTO");
    let Some(directory) = env::var_os("CONNECT_CONFORMANCE_PROTO").map(PathBuf::from) else {
        return Ok(());
    };
    println!("cargo:rerun-if-changed={}", directory.display());
    let files = ["connectrpc/conformance/v1/service.proto", "connectrpc/conformance/v1/server_compat.proto"];
    let descriptors = protox::compile(files, [&directory])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().build_client(false).compile_fds(descriptors)?;
    println!("cargo:rustc-cfg=has_suite");
    Ok(())
}
