// SPDX-License-Identifier: GPL-2.0
/*
 * pcimask: for the test rig only. Shows chosen emulated PCI functions under other
 * identities (vendor, device, class, subsystem) by answering the configuration
 * reads of their bus. All behind them (BARs, IOMMU group, vfio) is the emulator's.
 *
 *   insmod pcimask.ko map=0000:01:00.0=10de:2330:030200:10de:16c1,...
 * The sixth field, if given, is the device id of the function's SR-IOV virtual
 * functions; such a function's class is masked by an entry of its own, named before
 * it exists (its bus must hold another masked function).
 * On load the functions are removed and the buses scanned again. It stays for good.
 */
#include <linux/module.h>
#include <linux/pci.h>

#define MAXE 32
static char *map[MAXE];
static int nmap;
module_param_array(map, charp, &nmap, 0444);
MODULE_PARM_DESC(map, "DDDD:BB:DD.F=VVVV:DDDD:CCCCCC[:SVID:SDID[:VFDID]]");

struct entry {
	int dom, bus, devfn;
	u32 vendor, device, class, svid, sdid, vfdid;
	int sriov;
};
static struct entry e[MAXE];

struct busops {
	struct pci_bus *bus;
	struct pci_ops *orig;
};
static struct busops bo[MAXE];
static int nbo;

static struct pci_ops *orig_of(struct pci_bus *bus)
{
	int i;
	for (i = 0; i < nbo; i++)
		if (bo[i].bus == bus)
			return bo[i].orig;
	return NULL;
}

static struct entry *entry_of(struct pci_bus *bus, unsigned int devfn)
{
	int i;
	for (i = 0; i < nmap; i++)
		if (e[i].dom == pci_domain_nr(bus) && e[i].bus == bus->number &&
		    e[i].devfn == devfn)
			return &e[i];
	return NULL;
}

static void put(u8 *b, int reg, int where, int size, u32 val, int len)
{
	int i;
	for (i = 0; i < len; i++)
		if (reg + i >= where && reg + i < where + size)
			b[reg + i - where] = val >> (8 * i);
}

static int mask_read(struct pci_bus *bus, unsigned int devfn, int where,
		     int size, u32 *val)
{
	struct pci_ops *o = orig_of(bus);
	struct entry *m = entry_of(bus, devfn);
	u8 b[4];
	int r, i;

	if (!o)
		return PCIBIOS_DEVICE_NOT_FOUND;
	r = o->read(bus, devfn, where, size, val);
	if (r || !m)
		return r;
	/* nothing there, or a VF, whose own vendor and device id read as ones */
	if (*val == (size == 4 ? ~0U : (1U << (8 * size)) - 1))
		return 0;
	for (i = 0; i < 4; i++)
		b[i] = *val >> (8 * i);
	put(b, PCI_VENDOR_ID, where, size, m->vendor, 2);
	put(b, PCI_DEVICE_ID, where, size, m->device, 2);
	put(b, PCI_CLASS_REVISION + 1, where, size, m->class, 3);
	if (m->svid) {
		put(b, PCI_SUBSYSTEM_VENDOR_ID, where, size, m->svid, 2);
		put(b, PCI_SUBSYSTEM_ID, where, size, m->sdid, 2);
	}
	if (m->vfdid && m->sriov)
		put(b, m->sriov + PCI_SRIOV_VF_DID, where, size, m->vfdid, 2);
	*val = 0;
	for (i = 0; i < size; i++)
		*val |= (u32)b[i] << (8 * i);
	return 0;
}

static int mask_write(struct pci_bus *bus, unsigned int devfn, int where,
		      int size, u32 val)
{
	struct pci_ops *o = orig_of(bus);
	return o ? o->write(bus, devfn, where, size, val) : PCIBIOS_DEVICE_NOT_FOUND;
}

static struct pci_ops mask_ops = { .read = mask_read, .write = mask_write };

static int __init mask_init(void)
{
	struct pci_bus *bus;
	struct pci_dev *d;
	unsigned int dom, b, dv, fn;
	int i, n;

	for (i = 0; i < nmap; i++) {
		e[i].svid = e[i].sdid = e[i].vfdid = 0;
		n = sscanf(map[i], "%x:%x:%x.%x=%x:%x:%x:%x:%x:%x", &dom, &b, &dv, &fn,
			   &e[i].vendor, &e[i].device, &e[i].class,
			   &e[i].svid, &e[i].sdid, &e[i].vfdid);
		if (n < 7) {
			pr_err("pcimask: cannot read map entry '%s'\n", map[i]);
			return -EINVAL;
		}
		e[i].dom = dom;
		e[i].bus = b;
		e[i].devfn = PCI_DEVFN(dv, fn);
	}
	pci_lock_rescan_remove();
	for (i = 0; i < nmap; i++) {
		d = pci_get_domain_bus_and_slot(e[i].dom, e[i].bus, e[i].devfn);
		if (!d) {
			pr_info("pcimask: %s: not there yet (a VF)\n", map[i]);
			continue;
		}
		e[i].sriov = pci_find_ext_capability(d, PCI_EXT_CAP_ID_SRIOV);
		bus = d->bus;
		if (!orig_of(bus)) {
			bo[nbo].bus = bus;
			bo[nbo].orig = bus->ops;
			nbo++;
			pci_bus_set_ops(bus, &mask_ops);
		}
		pci_stop_and_remove_bus_device(d);
		pci_dev_put(d);
	}
	bus = NULL;
	while ((bus = pci_find_next_bus(bus)))
		pci_rescan_bus(bus);
	pci_unlock_rescan_remove();
	return 0;
}

module_init(mask_init);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Test rig: PCI functions under other identities");
