# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# All that is needed to get kernels and boot them: source this one.

# shellcheck source=scripts/lib/common.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=scripts/lib/source.sh
. "$PVA_LIB/source.sh"
# shellcheck source=scripts/lib/variant.sh
. "$PVA_LIB/variant.sh"
# shellcheck source=scripts/lib/kernel.sh
. "$PVA_LIB/kernel.sh"
# shellcheck source=scripts/lib/guest.sh
. "$PVA_LIB/guest.sh"
# shellcheck source=scripts/lib/selftest.sh
. "$PVA_LIB/selftest.sh"
