// SPDX-License-Identifier: GPL-2.0
/*
 * extras: for the test rig only. Gives a PCI function what a machine of this kind cannot
 * emulate, until another function, or "none", is written there:
 *
 *   echo 0000:01:00.0 > /sys/module/extras/parameters/framebuffer
 *       a frame buffer, registered with the kernel as the driver of a display does
 *   echo 0000:01:00.0 > /sys/module/extras/parameters/noiommu
 *       an IOMMU group without an IOMMU, by the calls of vfio with enable_unsafe_noiommu_mode
 *   echo 0000:01:00.0 > /sys/module/extras/parameters/usb
 *       the folders of a USB bus with a keyboard; this kernel has no USB
 *   echo 0000:01:00.0 > /sys/module/extras/parameters/mdev
 *       the folders of a driver of mediated devices with one of them; this kernel has none
 */
#include <linux/fb.h>
#include <linux/iommu.h>
#include <linux/module.h>
#include <linux/pci.h>

static struct pci_dev *find(const char *name)
{
	unsigned int domain, bus, slot, function;

	if (sscanf(name, "%x:%x:%x.%x", &domain, &bus, &slot, &function) != 4)
		return NULL;
	return pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, function));
}

/* In memory only. The kernel puts its console on it. */
static const struct fb_ops unseen = {
	.owner = THIS_MODULE,
	.fb_fillrect = sys_fillrect,
	.fb_copyarea = sys_copyarea,
	.fb_imageblit = sys_imageblit,
};
static struct fb_info *fb;

static int give_framebuffer(struct pci_dev *d)
{
	int result;

	if (fb) {
		unregister_framebuffer(fb);
		vfree(fb->screen_buffer);
		framebuffer_release(fb);
		fb = NULL;
	}
	if (!d)
		return 0;
	fb = framebuffer_alloc(16 * sizeof(u32), &d->dev);
	if (!fb)
		return -ENOMEM;
	fb->fbops = (struct fb_ops *)&unseen;
	fb->pseudo_palette = fb->par;
	fb->screen_buffer = vzalloc(640 * 480 * 4);
	fb->flags = FBINFO_VIRTFB;
	strscpy(fb->fix.id, "rig", sizeof(fb->fix.id));
	fb->fix.line_length = 640 * 4;
	fb->fix.smem_len = 640 * 480 * 4;
	fb->fix.visual = FB_VISUAL_TRUECOLOR;
	fb->var.xres = fb->var.xres_virtual = 640;
	fb->var.yres = fb->var.yres_virtual = 480;
	fb->var.bits_per_pixel = 32;
	result = fb->screen_buffer ? register_framebuffer(fb) : -ENOMEM;
	if (result) {
		vfree(fb->screen_buffer);
		framebuffer_release(fb);
		fb = NULL;
	}
	return result;
}

static struct pci_dev *without;

static int give_noiommu(struct pci_dev *d)
{
	struct iommu_group *group;
	int result;

	if (without) {
		iommu_group_remove_device(&without->dev);
		pci_dev_put(without);
		without = NULL;
	}
	if (!d)
		return 0;
	group = iommu_group_alloc();
	if (IS_ERR(group))
		return PTR_ERR(group);
	result = iommu_group_set_name(group, "vfio-noiommu");
	if (!result)
		result = iommu_group_add_device(group, &d->dev);
	iommu_group_put(group);
	if (!result)
		without = pci_dev_get(d);
	return result;
}

static ssize_t product_show(struct kobject *object, struct kobj_attribute *attribute, char *page)
{
	return sprintf(page, "Keyboard of the rig\n");
}
static struct kobj_attribute product = __ATTR_RO(product);

/* give_folders: a chain of folders below the function, at most MOST_FOLDERS deep. */
#define MOST_FOLDERS 4
static int give_folders(struct kobject **chain, struct pci_dev *d, const char *const *names)
{
	struct kobject *parent = d ? &d->dev.kobj : NULL;
	int i;

	for (i = MOST_FOLDERS; i-- > 0;) {
		kobject_put(chain[i]);
		chain[i] = NULL;
	}
	for (i = 0; parent && names[i]; i++) {
		chain[i] = kobject_create_and_add(names[i], parent);
		parent = chain[i];
		if (!parent)
			return -ENOMEM;
	}
	return 0;
}

static struct kobject *usb[MOST_FOLDERS], *mdev[MOST_FOLDERS];
static int give_usb(struct pci_dev *d)
{
	static const char *const names[] = { "usb1", "1-1", NULL };
	int result = give_folders(usb, d, names);

	return result || !d ? result : sysfs_create_file(usb[1], &product.attr);
}

static int give_mdev(struct pci_dev *d)
{
	static const char *const names[] = { "mdev_supported_types", "nvidia-222", "devices",
					     "6f1d0c5e-0002-4000-8000-0000005219a1", NULL };
	return give_folders(mdev, d, names);
}

static int set(const char *text, const struct kernel_param *parameter)
{
	int (*give)(struct pci_dev *) = parameter->arg;
	struct pci_dev *d = NULL;
	int result;

	if (strncmp(text, "none", 4)) {
		d = find(text);
		if (!d)
			return -ENODEV;
	}
	result = give(d);
	pci_dev_put(d);
	return result;
}

static const struct kernel_param_ops writing = { .set = set };
module_param_cb(framebuffer, &writing, give_framebuffer, 0200);
module_param_cb(noiommu, &writing, give_noiommu, 0200);
module_param_cb(usb, &writing, give_usb, 0200);
module_param_cb(mdev, &writing, give_mdev, 0200);

/* It stays for good: no module_exit. */
static int __init load(void)
{
	return 0;
}
module_init(load);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Test rig: what the emulated machine lacks");
