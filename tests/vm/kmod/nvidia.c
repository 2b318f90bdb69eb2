// SPDX-License-Identifier: GPL-2.0
/*
 * nvidia: for the test rig only. Stands in for NVIDIA's driver in what a change of
 * drivers meets: it binds, makes /dev/nvidia<N> (major 195) and the folder below
 * /proc/driver/nvidia/gpus, and its unbind waits, not to be killed, while the node
 * is open, as NVIDIA's does. Told so, it hangs or refuses:
 *
 *   echo 0000:01:00.0 > /sys/module/nvidia/parameters/hang    unbind never ends
 *   echo 0000:01:00.0 > /sys/module/nvidia/parameters/refuse  bind fails with EIO
 * until something else is written there.
 */
#include <linux/cdev.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/version.h>
#include <linux/wait.h>

#define MAJOR_NUMBER 195
#define CONTROL_MINOR 255
#define MOST 16

static char hang[16], refuse[16];
module_param_string(hang, hang, sizeof(hang), 0644);
module_param_string(refuse, refuse, sizeof(refuse), 0644);

struct gpu {
	struct pci_dev *dev;
	struct proc_dir_entry *proc;
	bool leaving;
	int users;
};
static struct gpu gpus[MOST];
static DEFINE_MUTEX(lock);
static DECLARE_WAIT_QUEUE_HEAD(changed);
static struct class *class;
static struct proc_dir_entry *proc_root, *proc_gpus;

static bool named(const char *list, struct pci_dev *d)
{
	return !strncmp(list, pci_name(d), strlen(pci_name(d)));
}

static int node_open(struct inode *inode, struct file *file)
{
	unsigned int minor = iminor(inode);
	int result = 0;

	if (minor == CONTROL_MINOR)
		return 0;
	if (minor >= MOST)
		return -ENODEV;
	mutex_lock(&lock);
	if (gpus[minor].dev && !gpus[minor].leaving)
		gpus[minor].users++;
	else
		result = -ENODEV;
	mutex_unlock(&lock);
	return result;
}

static int node_release(struct inode *inode, struct file *file)
{
	unsigned int minor = iminor(inode);

	if (minor < MOST) {
		mutex_lock(&lock);
		gpus[minor].users--;
		mutex_unlock(&lock);
		wake_up_all(&changed);
	}
	return 0;
}

static const struct file_operations node = {
	.owner = THIS_MODULE, .open = node_open, .release = node_release,
};

static int information(struct seq_file *file, void *unused)
{
	struct gpu *gpu = file->private;

	seq_printf(file, "Model: \t\t Stand-in\nBus Location: \t %s\nDevice Minor: \t %d\n",
		   pci_name(gpu->dev), (int)(gpu - gpus));
	return 0;
}

static int bind(struct pci_dev *d, const struct pci_device_id *id)
{
	int minor, result;

	if (named(refuse, d))
		return -EIO;
	result = pci_enable_device(d);
	if (result)
		return result;
	mutex_lock(&lock);
	for (minor = 0; minor < MOST && gpus[minor].dev; minor++)
		;
	if (minor < MOST) {
		gpus[minor].dev = d;
		gpus[minor].leaving = false;
	}
	mutex_unlock(&lock);
	if (minor == MOST) {
		pci_disable_device(d);
		return -ENOSPC;
	}
	pci_set_drvdata(d, &gpus[minor]);
	gpus[minor].proc = proc_mkdir(pci_name(d), proc_gpus);
	proc_create_single_data("information", 0444, gpus[minor].proc, information, &gpus[minor]);
	device_create(class, &d->dev, MKDEV(MAJOR_NUMBER, minor), NULL, "nvidia%d", minor);
	return 0;
}

static bool free_to_go(struct gpu *gpu)
{
	return gpu->users == 0 && !named(hang, gpu->dev);
}

static void unbind(struct pci_dev *d)
{
	struct gpu *gpu = pci_get_drvdata(d);

	mutex_lock(&lock);
	gpu->leaving = true;
	mutex_unlock(&lock);
	/* A written parameter wakes nobody: look again now and then. */
	while (!wait_event_timeout(changed, free_to_go(gpu), HZ / 10))
		;
	device_destroy(class, MKDEV(MAJOR_NUMBER, gpu - gpus));
	proc_remove(gpu->proc);
	pci_disable_sriov(d);
	pci_disable_device(d);
	mutex_lock(&lock);
	gpu->dev = NULL;
	mutex_unlock(&lock);
}

static const struct pci_device_id ids[] = {
	{ PCI_DEVICE(0x10de, PCI_ANY_ID), .class = 0x030000, .class_mask = 0xff0000 },
	{ }
};
static struct pci_driver driver = {
	.name = "nvidia", .id_table = ids, .probe = bind, .remove = unbind,
	.sriov_configure = pci_sriov_configure_simple,
};

static char *mode(const struct device *device, umode_t *mode)
{
	if (mode)
		*mode = 0666;
	return NULL;
}

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
static char *old_mode(struct device *device, umode_t *bits)
{
	return mode(device, bits);
}
#define mode old_mode
#endif

static int __init load(void)
{
	int result = register_chrdev(MAJOR_NUMBER, "nvidia", &node);

	if (result)
		return result;
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
	class = class_create(THIS_MODULE, "nvidia");
#else
	class = class_create("nvidia");
#endif
	if (IS_ERR(class)) {
		unregister_chrdev(MAJOR_NUMBER, "nvidia");
		return PTR_ERR(class);
	}
	class->devnode = mode;
	device_create(class, NULL, MKDEV(MAJOR_NUMBER, CONTROL_MINOR), NULL, "nvidiactl");
	proc_root = proc_mkdir("driver/nvidia", NULL);
	proc_gpus = proc_mkdir("gpus", proc_root);
	result = pci_register_driver(&driver);
	if (result) {
		proc_remove(proc_root);
		device_destroy(class, MKDEV(MAJOR_NUMBER, CONTROL_MINOR));
		class_destroy(class);
		unregister_chrdev(MAJOR_NUMBER, "nvidia");
	}
	return result;
}

static void __exit unload(void)
{
	pci_unregister_driver(&driver);
	proc_remove(proc_root);
	device_destroy(class, MKDEV(MAJOR_NUMBER, CONTROL_MINOR));
	class_destroy(class);
	unregister_chrdev(MAJOR_NUMBER, "nvidia");
}
module_init(load);
module_exit(unload);
MODULE_LICENSE("GPL");
MODULE_VERSION("550.54.15");
MODULE_DESCRIPTION("Test rig: stand-in for the driver of NVIDIA GPUs");
