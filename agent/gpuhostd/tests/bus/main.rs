//! The D-Bus face on a private dbus-daemon with the policy that we ship, seen through busctl and through clients.

mod attacks;
mod changes;
mod gate;
mod golden;
mod lifecycle;
mod polkit;
mod reads;
mod rig;
