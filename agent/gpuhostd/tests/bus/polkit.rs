//! The real polkitd decides, asked by the daemon as its own user.
