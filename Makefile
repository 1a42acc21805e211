# The two commands: make run, make test. Everything they need is installed into .venv, or by apt when root or sudo allow.

PYTHON ?= python3
BIN := .venv/bin
RUN_PACKAGES := libportaudio2 libatomic1 flite
TEST_PACKAGES := pulseaudio pulseaudio-utils libasound2-plugins alsa-utils openssh-client
CLIENT_PACKAGES := chromium
PUBLISHED_PACKAGES := espeak-ng
CONTAINER_PACKAGES := mmdebstrap systemd-container udev
IMAGE_PACKAGES := mmdebstrap udev qemu-user-static arch-test mtools dosfstools fdisk squashfs-tools e2fsprogs xz-utils openssh-client
BOOT_PACKAGES := qemu-system-arm qemu-user gcc
MODELS ?=
SIGNERS ?=
DEVELOPMENT ?=
CLIENTS_AT_A_TIME ?= 2

.PHONY: help run demo test clients published check bench soak attacks fuzz overload deb image bundle container-test boot-test venv packages \
	test-packages client-packages published-packages container-packages image-packages boot-packages clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

run: venv  ## set up, serve on 127.0.0.1:8080 with the embedded English model or a better installed one
	$(BIN)/appliance serve

demo: venv  ## prove the main job with nothing attached: speech made on the spot, real time, real WebSocket
	$(BIN)/appliance demo

test: venv test-packages check  ## everything that takes minutes at most
	$(BIN)/python -m pytest -m "not soak and not clients and not boot and not overload and not published"

clients: venv client-packages  ## the vendors' own SDKs against a daemon; writes docs/compatibility.md
	$(BIN)/python -m tests.clients.install
	$(BIN)/python -m pytest tests/clients -n $(CLIENTS_AT_A_TIME) --compatibility docs/compatibility.md

published: venv published-packages  ## published model packs: downloads 300 MB, loads them, speaks to them
	$(BIN)/python -m pytest -m published -s tests/published

check: venv  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: venv  ## measure this machine; ratios within one run
	$(BIN)/appliance bench

deb: venv  ## one package for Debian 12 and 13, Raspberry Pi OS and Jetson's Ubuntu: build/*.deb, arm64 and amd64
	image/deb arm64
	image/deb amd64

image: venv image-packages  ## the image for a Raspberry Pi's card, as root: build/*.img; SIGNERS=FILE or DEVELOPMENT=1; MODELS="NAME ..."
	image/card $(addprefix --signers ,$(SIGNERS)) $(if $(DEVELOPMENT),--development) $(addprefix --model ,$(MODELS))

bundle: venv  ## updates for `appliance update`: build/*.appliance-update; KEY= signs them
	image/bundles $(addprefix --key ,$(KEY))

container-test: venv test-packages container-packages  ## boots service and package in containers, as root, and breaks what can break
	$(BIN)/python -m pytest -m boot tests/boot -k "nspawn or test_deb"

boot-test: container-test image-packages boot-packages  ## the same, and emulated boards: two hours on a quiet machine
	$(BIN)/python -m pytest -m boot tests/boot -k "not nspawn and not test_deb"

overload: venv  ## more streams than fit, on a processor quota: those that are let in keep their finals
	$(BIN)/python -m pytest -m overload -s tests/overload

soak: venv test-packages  ## fifteen minutes of eight streams that come and go and a microphone: nothing may grow
	$(BIN)/python -m pytest -m soak -s tests/soak

attacks: venv  ## what an attacker or a careless client can do, against a daemon on loopback: two minutes
	$(BIN)/python -m pytest tests/attacks

fuzz: venv  ## noise at every dialect for minutes
	FUZZ_ROUNDS=400 $(BIN)/python -m pytest tests/fuzz --hypothesis-profile=explore

venv: .venv/installed  ## .venv with the package and all tools

.venv/installed: pyproject.toml | packages
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed"; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

# Debian packages, when they are missing: installed as root or with sudo, otherwise named.
define apt
	@missing=""; \
	for package in $(1); do [ "$$(dpkg-query -W -f '$${db:Status-Status}' $$package 2>/dev/null)" = installed ] || missing="$$missing $$package"; done; \
	[ -z "$$missing" ] && exit 0; \
	if [ "$$(id -u)" = 0 ]; then as=""; \
	elif sudo -n true 2>/dev/null; then as="sudo"; \
	else echo "these Debian packages are needed:$$missing"; echo "install them with: sudo apt-get install$$missing"; exit 1; fi; \
	echo "installing$$missing"; \
	$$as apt-get update -qq && $$as env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null
endef

packages:
	$(call apt,$(RUN_PACKAGES) $(shell $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv))

test-packages:
	$(call apt,$(TEST_PACKAGES))

published-packages:
	$(call apt,$(PUBLISHED_PACKAGES))

client-packages:
	$(call apt,$(CLIENT_PACKAGES))

container-packages:
	$(call apt,$(CONTAINER_PACKAGES))

image-packages:
	$(call apt,$(IMAGE_PACKAGES))

boot-packages:
	$(call apt,$(BOOT_PACKAGES))

clean:  ## remove what was made here, but not the key that boxes in use take updates by
	[ ! -d build ] || find build -mindepth 1 -maxdepth 1 ! -name 'update-key*' -exec rm -rf {} +
	rm -rf .venv dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
