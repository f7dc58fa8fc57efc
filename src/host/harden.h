#pragma once

namespace berth {

/// The first thing every program of ours does. What it and its children make is its user's alone unless it
/// says otherwise (umask 077), and its memory, which holds secrets, is neither written to a core file
/// (RLIMIT_CORE, inherited; PR_SET_DUMPABLE, which exec undoes) nor read by the user's other programs.
/// Of /proc/PID only what everybody may read stays readable to others: stat, status, cmdline.
void harden_process();

}  // namespace berth
