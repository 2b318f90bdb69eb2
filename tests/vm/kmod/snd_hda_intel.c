// SPDX-License-Identifier: GPL-2.0
/*
 * snd_hda_intel: for the test rig only. Stands in for the sound driver that holds the
 * audio function of a graphics card: it binds, and does nothing else.
 */
#include <linux/module.h>
#include <linux/pci.h>

static int bind(struct pci_dev *d, const struct pci_device_id *id)
{
	return pci_enable_device(d);
}

static void unbind(struct pci_dev *d)
{
	pci_disable_device(d);
}

static const struct pci_device_id ids[] = {
	{ PCI_DEVICE(0x10de, PCI_ANY_ID), .class = 0x040300, .class_mask = 0xffff00 },
	{ }
};
static struct pci_driver stand_in = {
	.name = "snd_hda_intel", .id_table = ids, .probe = bind, .remove = unbind,
};
module_pci_driver(stand_in);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Test rig: stand-in for the driver of a card's audio function");
