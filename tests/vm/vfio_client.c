/*
 * vfio_client GROUP ADDRESS [HOLD]: opens an IOMMU group and a device in it as a virtual machine monitor does, and maps 64 MiB
 * for DMA. Says "viable", "mapped" and the ids that it reads through VFIO. With a third argument it then holds the device until its
 * standard input ends. Ends with 3 where the kernel says that the group is not viable, 1 where a call fails.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static int failed(const char *what)
{
	printf("%s: %s\n", what, strerror(errno));
	return 1;
}

int main(int count, char **argument)
{
	struct vfio_group_status status = { .argsz = sizeof status };
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof map, .flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE, .size = 64UL << 20,
	};
	struct vfio_region_info config = { .argsz = sizeof config, .index = VFIO_PCI_CONFIG_REGION_INDEX };
	int container, group, device;
	unsigned short ids[2];
	char path[64], byte;
	void *memory;

	if (count < 3)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	snprintf(path, sizeof path, "/dev/vfio/%s", argument[1]);
	if ((container = open("/dev/vfio/vfio", O_RDWR)) < 0)
		return failed("/dev/vfio/vfio");
	if ((group = open(path, O_RDWR)) < 0)
		return failed(path);
	if (ioctl(group, VFIO_GROUP_GET_STATUS, &status))
		return failed("VFIO_GROUP_GET_STATUS");
	if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE)) {
		printf("not viable\n");
		return 3;
	}
	printf("viable\n");
	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container))
		return failed("VFIO_GROUP_SET_CONTAINER");
	if (ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return failed("VFIO_SET_IOMMU");
	memory = mmap(NULL, map.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return failed("mmap");
	map.vaddr = (unsigned long)memory;
	if (ioctl(container, VFIO_IOMMU_MAP_DMA, &map))
		return failed("VFIO_IOMMU_MAP_DMA");
	printf("mapped\n");
	if ((device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, argument[2])) < 0)
		return failed("VFIO_GROUP_GET_DEVICE_FD");
	if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &config))
		return failed("VFIO_DEVICE_GET_REGION_INFO");
	if (pread(device, ids, sizeof ids, config.offset) != sizeof ids)
		return failed("reading the configuration space");
	printf("%04x:%04x\n", ids[0], ids[1]);
	if (count > 3) {
		printf("holding\n");
		while (read(0, &byte, 1) > 0)
			;
	}
	return 0;
}
