"""A real OVN and Open vSwitch for tests: Debian's packages, unpacked and run in place."""
