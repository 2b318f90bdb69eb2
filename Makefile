# Each target installs what it needs on Debian 12 or newer and Ubuntu 22.04 or newer (as root, or through sudo), and only
# what is not there yet: a second run asks no network for tools. The one thing that is asked for instead of fetched is the
# Rust toolchain.

.PHONY: help run check hooks test test-selinux test-rig test-docker test-vm test-fresh fleet fuzz packages bench clean

help:
	@echo "make run [HOST=name]   see it work, on this machine or on a simulated host (dgx-a100, gb200, no-iommu, ...; FILE.tar.gz: a snapshot)"
	@echo "make check             format, lints, and the tests of what changed since the branch main: the loop while you work"
	@echo "make hooks             git runs the first part of make check before each commit, and all of it before each push"
	@echo "make test              every test that needs no VM, no GPU and no other Docker than this machine's"
	@echo "make test-rig          only the tests of units and packages, under a systemd in a container"
	@echo "make test-selinux      compiles the SELinux module and asks the whole policy what its domains may do (Debian)"
	@echo "make test-docker       only the tests on real Docker engines of several releases (fetched once, 60 MB each)"
	@echo "make test-vm [ONLY=observe]  the tests that need a kernel of their own: a virtual machine with GPUs, IOMMU and VFIO"
	@echo "make test-fresh [RELEASE=trixie STEPS='run test']  make run and make test on a bare Debian of that release (as root)"
	@echo "make fleet [HOSTS=100000 HOURS=24]  a day of that many hosts in virtual time"
	@echo "make fuzz [TARGET=smi SECONDS=3600]   looks for inputs that break a parser (all for 40 s each)"
	@echo "make packages          the .deb and the .rpm, in out/packages"
	@echo "make bench [ONLY=b1]   ours and its peers on the same work, in turn (LONG=1: ten minutes for B4 to B6 and B19)"
	@echo "make clean             removes out/ and target/"

run:
	@tests/setup.sh build run
	@tests/run/demo.sh $(HOST)

check:
	@tests/setup.sh build run
	@tests/check.sh $(BASE)

hooks:
	@tests/hooks.sh

test:
	@tests/setup.sh build test
	@tests/run/all.sh

test-rig:
	@tests/setup.sh build test packages
	@tests/run/all.sh rig

test-selinux:
	@tests/setup.sh selinux
	@tests/run/all.sh selinux

test-docker:
	@tests/setup.sh build docker
	@tests/docker/fetch.sh
	@tests/run/all.sh docker

test-vm:
	@tests/setup.sh build packages vm
	@tests/vm/run.sh $(ONLY)

test-fresh:
	@tests/setup.sh fresh
	@tests/fresh/run.sh $(or $(RELEASE),bookworm) $(STEPS)

fleet:
	@tests/setup.sh build
	@PATH="$$PATH:$$HOME/.cargo/bin" FLEET_HOSTS=$(or $(HOSTS),100000) FLEET_HOURS=$(or $(HOURS),24) \
		cargo test --quiet --locked --release -p model --test checkin a_day_of_a_fleet -- --nocapture

fuzz:
	@tests/setup.sh build fuzz
	@SECONDS_EACH=$(or $(SECONDS),40) tests/fuzz/run.sh $(TARGET)

packages:
	@tests/setup.sh build packages
	packaging/build.sh --profile release out/packages

bench:
	@tests/setup.sh build bench
	@tests/bench/run.sh $(ONLY)

clean:
	rm -rf out target
