//! The state of the loaded library: the description that it found, and whether it is initialized.

use crate::codes::{Code, UNKNOWN};
use crate::shared::{self, Stamp};
use model::driver::{DriverReport, DriverSource};
use sim::Description;
use sim::bus::Bus;
use sim::driver::report;
use sim::faults::{NvmlFault, Signal};
use sim::mig_on_host::MigOnHost;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the library answers from.
#[derive(Debug)]
pub struct Library {
    /// What the driver says.
    pub report: DriverReport,
    /// What is wrong with the library.
    pub fault: Option<NvmlFault>,
    /// MIG of the GPUs now.
    pub mig: MigOnHost,
    /// MIG is that of the shared file: it is no longer the described one.
    pub is_shared: bool,
    /// Where it is kept.
    pub state: PathBuf,
    description: Description,
    bus: Bus,
    stamp: Option<Stamp>,
}

static LIBRARY: Mutex<Option<Arc<Library>>> = Mutex::new(None);
static INITIALIZED: AtomicU32 = AtomicU32::new(0);
static CALLS: Mutex<BTreeMap<String, u32>> = Mutex::new(BTreeMap::new());

/// Begins a call: crashes, hangs, fails or is slow where the description says so for this function.
///
/// # Errors
/// The library is not initialized, or there is no description (DRIVER_NOT_LOADED, with the reason on stderr). The code that the
/// description gives, which is that of success where the call is to have no effect.
pub fn begin(call: &str) -> Result<Arc<Library>, Code> {
    let library = loaded()?;
    let before = calls_before(&library, call);
    match &library.fault {
        Some(NvmlFault::Crash { call: which, signal }) if which == call => crash(*signal),
        Some(NvmlFault::Hang { call: which }) if which == call => hang(),
        Some(NvmlFault::Return { call: which, code, skip }) if which == call && before >= *skip => {
            return Err(Code(*code));
        }
        Some(NvmlFault::NoEffect { call: which, skip }) if which == call && before >= *skip => return Err(Code(0)),
        Some(NvmlFault::Slow { call: which, takes_ms }) if which == call => {
            std::thread::sleep(Duration::from_millis(u64::from(*takes_ms)));
        }
        None | Some(_) => {}
    }
    let needs_init = !call.starts_with("nvmlInit") && call != "nvmlErrorString";
    if needs_init && INITIALIZED.load(Ordering::SeqCst) == 0 { Err(Code(1)) } else { Ok(library) }
}

/// Ends a call: the process dies where the description says that it does so after this function.
pub fn end(call: &str) {
    if loaded()
        .is_ok_and(|library| matches!(&library.fault, Some(NvmlFault::CrashAfter { call: which }) if which == call))
    {
        crash(Signal::Abort)
    }
}

/// How often the function was called before: by all processes where calls are written down, else by this one.
fn calls_before(library: &Library, call: &str) -> u32 {
    if let Some(counted) = shared::count(&library.state, call) {
        return counted;
    }
    let Ok(mut calls) = CALLS.lock() else { return 0 };
    let counted = calls.entry(call.to_owned()).or_default();
    *counted += 1;
    *counted - 1
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

/// The library, with MIG as the shared file has it now.
fn loaded() -> Result<Arc<Library>, Code> {
    let mut held = LIBRARY.lock().map_err(|_| UNKNOWN)?;
    let current = match held.take() {
        Some(library) => library.renewed(),
        None => load().and_then(Library::renewed),
    };
    match current {
        Ok(library) => Ok(held.insert(library).clone()),
        Err(why) => {
            eprintln!("simulated libnvidia-ml: {why}");
            Err(Code(9))
        }
    }
}

impl Library {
    fn renewed(self: Arc<Self>) -> Result<Arc<Self>, String> {
        let stamp = shared::stamp(&self.state);
        if stamp == self.stamp {
            return Ok(self);
        }
        let Some(mig) = shared::read(&self.state).map_err(|error| format!("{}: {error}", self.state.display()))? else {
            return Ok(self);
        };
        let (mut description, bus) = (self.description.clone(), self.bus.clone());
        mig.overlay(&mut description);
        let report = report(&description, &bus, DriverSource::Nvml);
        let (fault, state) = (self.fault.clone(), self.state.clone());
        Ok(Arc::new(Self { report, fault, mig, is_shared: true, state, description, bus, stamp }))
    }
}

fn load() -> Result<Arc<Library>, String> {
    let path = description_path()
        .ok_or("GPUHOSTD_SIM_DESCRIPTION is not set, and no folder above the library has a description.toml")?;
    let description: Description = sim::load_file(&path).map_err(|error| error.to_string())?;
    let bus = Bus::lay_out(&description).map_err(|error| error.to_string())?;
    Ok(Arc::new(Library {
        report: report(&description, &bus, DriverSource::Nvml),
        fault: description.faults.nvml.clone(),
        mig: MigOnHost::of(&description, &bus),
        is_shared: false,
        state: shared::path(&path),
        description,
        bus,
        stamp: None,
    }))
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
