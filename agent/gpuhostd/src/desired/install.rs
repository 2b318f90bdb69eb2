//! `gpuhostd desired install`: writes a file of the local desired state, whole or not at all, for `gpuhostctl desired apply`.

use host::front::{StoreError, write_atomic};
use model::desired::LOCAL_FILE_MAX_BYTES;
use model::refusal::Refusal;
use program::say;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Everybody may read what is wished of a host, and only root may write it.
const MODE: u32 = 0o644;

/// Where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallArgs {
    /// The folder of the local desired state.
    pub folder: PathBuf,
    /// The name there.
    pub name: String,
}

/// What it has to say, as one line of JSON.
#[derive(Debug, serde::Serialize)]
struct Report {
    status: u8,
    err: String,
}

/// Writes standard input, and prints how that went.
///
/// # Errors
/// The output cannot be written.
pub fn install(args: &InstallArgs) -> anyhow::Result<ExitCode> {
    let input = files::all_of(std::io::stdin(), Path::new("standard input"), LOCAL_FILE_MAX_BYTES);
    let written = match input {
        Ok(bytes) => write_atomic(&args.folder, &args.name, &bytes, MODE).map_err(|fault| refusal(args, &fault)),
        Err(fault) => Err(Refusal::InvalidArgument { argument: "file".to_owned(), why: fault.to_string() }),
    };
    let report = match written {
        Ok(()) => Report { status: 0, err: String::new() },
        Err(refusal) => Report { status: refusal.exit_status(), err: refusal.to_string() },
    };
    say::out(&(serde_json::to_string(&report)? + "\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn refusal(args: &InstallArgs, fault: &StoreError) -> Refusal {
    let path = args.folder.join(&args.name);
    Refusal::HostFault { attempted: format!("install {}", path.display()), said: fault.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fault_names_the_file_and_what_the_host_answered() {
        let args = InstallArgs { folder: "/nonexistent/desired.d".into(), name: "10.toml".to_owned() };
        let fault = write_atomic(&args.folder, &args.name, b"", MODE).unwrap_err();
        let refusal = refusal(&args, &fault);
        assert!(refusal.to_string().contains("/nonexistent/desired.d/10.toml"), "{refusal}");
        assert_eq!(refusal.exit_status(), 10);
    }
}
