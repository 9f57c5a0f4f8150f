//! Compiles every file below `proto/` with protox (no protoc needed) and writes three things: the
//! generated Rust, the descriptor set, and the table of methods with their scopes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost_reflect::{MethodDescriptor, Value};

const PROTO: &str = "../../proto";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed={PROTO}");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut files = Vec::new();
    find_protos(Path::new(PROTO), &mut files)?;
    files.sort();

    let mut compiler = protox::Compiler::new([PROTO])?;
    compiler
        .include_source_info(true)
        .include_imports(true)
        .open_files(&files)?;
    fs::write(
        out.join("descriptors.bin"),
        compiler.encode_file_descriptor_set(),
    )?;

    let pool = compiler.descriptor_pool();
    let scope = pool
        .get_extension_by_name("asterism.options.v1.scope")
        .ok_or("no scope option")?;
    let mut table = String::from("&[\n");
    for method in pool
        .services()
        .flat_map(|s| s.methods().collect::<Vec<_>>())
    {
        let options = method.options();
        let scope = match options.get_extension(&scope).as_ref() {
            Value::String(scope) if !scope.is_empty() => Some(scope.clone()),
            _ => None,
        };
        writeln!(table, "    {},", table_row(&method, scope.as_deref()))?;
    }
    table.push_str("]\n");
    fs::write(out.join("methods.rs"), table)?;

    tonic_prost_build::configure()
        .btree_map(".")
        .include_file("api.rs")
        .emit_rerun_if_changed(false)
        .compile_fds_with_config(compiler.file_descriptor_set(), config())?;
    Ok(())
}

fn config() -> tonic_prost_build::Config {
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    config
}

fn table_row(method: &MethodDescriptor, scope: Option<&str>) -> String {
    format!(
        "Method {{ path: \"/{}/{}\", scope: {scope:?}, client_streaming: {}, server_streaming: {} }}",
        method.parent_service().full_name(),
        method.name(),
        method.is_client_streaming(),
        method.is_server_streaming(),
    )
}

fn find_protos(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find_protos(&path, found)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "proto")
        {
            found.push(path);
        }
    }
    Ok(())
}
