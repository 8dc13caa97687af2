#!/usr/bin/env bash
# Install the SLURM and munge of Debian or Ubuntu, if they are not there. tests/slurm.py starts them, in a
# temporary folder: no daemon of the system is configured or started. Where this cannot be done, it says why
# and ends well: the tests skip then.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
there() { command -v "$1" > /dev/null; }
if there munged && there slurmctld && there slurmd && there sbatch; then
  exit 0
fi
if ! there apt-get; then
  echo "SLURM is not installed: there is no apt-get here; install slurm-wlm and munge by hand"
elif [ "$(id -u)" != 0 ]; then
  echo "SLURM is not installed: run as root, apt-get install slurm-wlm munge"
else
  export DEBIAN_FRONTEND=noninteractive
  get="apt-get -q -y -o DPkg::Lock::Timeout=300"
  # Packages start their daemons, unless this file says no.
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
    chmod +x /usr/sbin/policy-rc.d
  fi
  { $get update && $get install --no-install-recommends slurm-wlm munge; } \
    || echo "SLURM is not installed: apt-get could not get slurm-wlm and munge"
fi
