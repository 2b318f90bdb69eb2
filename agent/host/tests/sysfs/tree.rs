//! Builds a sysfs in a temporary folder, with the links that the kernel has.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A sysfs that lives as long as this value.
pub(crate) struct Tree {
    folder: TempDir,
}

/// One function of it.
pub(crate) struct Function {
    pub(crate) path: PathBuf,
    root: PathBuf,
}

impl Tree {
    pub(crate) fn new() -> Self {
        Self::in_folder(TempDir::new().unwrap())
    }

    /// On a file system that never gives an inode number out again, as sysfs.
    pub(crate) fn on_tmpfs() -> Self {
        Self::in_folder(TempDir::new_in("/dev/shm").unwrap())
    }

    fn in_folder(folder: TempDir) -> Self {
        for path in ["bus/pci/devices", "bus/pci/drivers", "devices", "kernel/iommu_groups"] {
            fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        Self { folder }
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    /// A function with `class`, `vendor` and `device` as in `030200`, `10de`, `2330`.
    pub(crate) fn function(&self, address: &str, class: &str, vendor: &str, device: &str) -> Function {
        let path = self.root().join("devices").join(address);
        fs::create_dir_all(&path).unwrap();
        symlink(format!("../../../devices/{address}"), self.root().join("bus/pci/devices").join(address)).unwrap();
        let function = Function { path, root: self.root().to_owned() };
        function.put("class", &format!("0x{class}"));
        function.put("vendor", &format!("0x{vendor}"));
        function.put("device", &format!("0x{device}"));
        function
    }

    /// A data-centre GPU with every attribute, on the nvidia driver, alone in its group.
    pub(crate) fn gpu(&self, address: &str, group: u32) -> Function {
        let gpu = self.function(address, "030200", "10de", "2330");
        for (name, value) in [
            ("subsystem_vendor", "0x10de"),
            ("subsystem_device", "0x16c1"),
            ("numa_node", "1"),
            ("current_link_speed", "16.0 GT/s PCIe"),
            ("max_link_speed", "32.0 GT/s PCIe"),
            ("current_link_width", "8"),
            ("max_link_width", "16"),
            ("driver_override", "(null)"),
            ("power_state", "D0"),
            ("boot_vga", "0"),
        ] {
            gpu.put(name, value);
        }
        fs::create_dir_all(gpu.path.join("drm/card1")).unwrap();
        fs::create_dir_all(gpu.path.join("drm/renderD129")).unwrap();
        fs::create_dir_all(gpu.path.join("drm/controlD65")).unwrap();
        gpu.bind("nvidia").join_group(group)
    }

    /// Removes a function as the kernel does.
    pub(crate) fn unplug(&self, address: &str) {
        fs::remove_file(self.root().join("bus/pci/devices").join(address)).unwrap();
        fs::remove_dir_all(self.root().join("devices").join(address)).unwrap();
    }
}

impl Function {
    pub(crate) fn put(&self, name: &str, value: &str) -> &Self {
        fs::write(self.path.join(name), format!("{value}\n")).unwrap();
        self
    }

    pub(crate) fn bind(self, driver: &str) -> Self {
        let folder = self.root.join("bus/pci/drivers").join(driver);
        fs::create_dir_all(&folder).unwrap();
        symlink(folder, self.path.join("driver")).unwrap();
        self
    }

    pub(crate) fn join_group(self, group: u32) -> Self {
        let folder = self.root.join("kernel/iommu_groups").join(group.to_string());
        fs::create_dir_all(folder.join("devices")).unwrap();
        fs::write(folder.join("type"), "DMA-FQ\n").unwrap();
        let address = self.path.file_name().unwrap();
        symlink(&self.path, folder.join("devices").join(address)).unwrap();
        symlink(format!("../../kernel/iommu_groups/{group}"), self.path.join("iommu_group")).unwrap();
        self
    }

    pub(crate) fn link(&self, name: &str, target: &str) -> &Self {
        symlink(format!("../{target}"), self.path.join(name)).unwrap();
        self
    }
}
