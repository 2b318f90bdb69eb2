//! Kasm's `agent.app.config.yaml` as settings of this daemon: which key becomes which, and which are left out. Pure.

mod kasm_config;
mod kasm_read;

pub use kasm_config::{KasmImport, LeftOutKey, MappedKey};
pub use kasm_read::import_kasm;
