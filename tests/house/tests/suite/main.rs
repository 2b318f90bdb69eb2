//! The rules of the house.

mod arrows;
mod circles;
mod demo;
mod layout;
mod limits;
mod links;
mod lints;
mod messages;
mod prints;
mod reach;
mod specification;
mod unused;
mod words;
