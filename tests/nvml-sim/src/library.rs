//! The state of the loaded library: the description that it found, and whether it is initialized.

use crate::codes::Code;
use model::driver::{DriverReport, DriverSource};
use sim::Description;
use sim::bus::Bus;
use sim::driver::report;
use sim::faults::{NvmlFault, Signal};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// What the library answers from.
#[derive(Debug)]
pub struct Library {
    /// What the driver says.
    pub report: DriverReport,
    /// What is wrong with the library.
    pub fault: Option<NvmlFault>,
}

static LIBRARY: OnceLock<Option<Library>> = OnceLock::new();
static INITIALIZED: AtomicU32 = AtomicU32::new(0);

/// Begins a call: crashes or hangs where the description says so for this function.
///
/// # Errors
/// The library is not initialized, or there is no description (DRIVER_NOT_LOADED, with the reason on stderr).
pub fn begin(call: &str) -> Result<&'static Library, Code> {
    let library = loaded()?;
    match &library.fault {
        Some(NvmlFault::Crash { call: which, signal }) if which == call => crash(*signal),
        Some(NvmlFault::Hang { call: which }) if which == call => hang(),
        None
        | Some(
            NvmlFault::Missing
            | NvmlFault::NotALibrary
            | NvmlFault::Init(_)
            | NvmlFault::Crash { .. }
            | NvmlFault::Hang { .. },
        ) => {}
    }
    let needs_init = !call.starts_with("nvmlInit") && call != "nvmlErrorString";
    if needs_init && INITIALIZED.load(Ordering::SeqCst) == 0 { Err(Code(1)) } else { Ok(library) }
}

/// `nvmlInit`: counts, as the real one does.
///
/// # Errors
/// The code that the description gives.
pub fn initialize(library: &Library) -> Result<(), Code> {
    if let Some(NvmlFault::Init(code)) = &library.fault {
        return Err(Code(u32::try_from(*code).unwrap_or(999)));
    }
    INITIALIZED.fetch_add(1, Ordering::SeqCst);
    Ok(())
}

/// `nvmlShutdown`: the last of them ends the library's use.
pub fn shut_down() {
    INITIALIZED.fetch_sub(1, Ordering::SeqCst);
}

fn loaded() -> Result<&'static Library, Code> {
    LIBRARY
        .get_or_init(|| match load() {
            Ok(library) => Some(library),
            Err(why) => {
                eprintln!("simulated libnvidia-ml: {why}");
                None
            }
        })
        .as_ref()
        .ok_or(Code(9))
}

fn load() -> Result<Library, String> {
    let path = description_path()
        .ok_or("GPUHOSTD_SIM_DESCRIPTION is not set, and no folder above the library has a description.toml")?;
    let description: Description = sim::load_file(&path).map_err(|error| error.to_string())?;
    let bus = Bus::lay_out(&description).map_err(|error| error.to_string())?;
    Ok(Library { report: report(&description, &bus, DriverSource::Nvml), fault: description.faults.nvml })
}

fn description_path() -> Option<PathBuf> {
    std::env::var_os("GPUHOSTD_SIM_DESCRIPTION").map(PathBuf::from).or_else(|| {
        let library = own_path()?;
        library.ancestors().skip(1).map(|dir| dir.join("description.toml")).find(|path| path.is_file())
    })
}

/// The path of the file that this library was mapped from: the line of `/proc/self/maps` that holds a constant of its.
fn own_path() -> Option<PathBuf> {
    static CONSTANT: &str = "a constant of the library";
    let here = CONSTANT.as_ptr().addr();
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    maps.lines().find_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
        let path = rest.get(rest.find('/')?..)?;
        (start..end).contains(&here).then(|| Path::new(path).to_owned())
    })
}

fn crash(signal: Signal) -> ! {
    if signal == Signal::Segv {
        // SAFETY: none, on purpose: the address is not mapped, so the write raises the SIGSEGV that is asked for.
        unsafe { std::ptr::without_provenance_mut::<u8>(8).write_volatile(1) };
    }
    std::process::abort()
}

fn hang() -> ! {
    loop {
        std::thread::park_timeout(Duration::MAX);
    }
}
