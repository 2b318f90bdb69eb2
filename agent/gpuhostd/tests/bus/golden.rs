//! The interface files and their pages are what the daemon says of itself.
