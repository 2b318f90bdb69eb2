//! The rules of the house.

mod arrows;
mod circles;
mod demo;
mod language;
mod layout;
mod limits;
mod links;
mod lints;
mod messages;
mod names;
mod pictures;
mod prints;
mod programs;
mod reach;
mod specification;
mod unused;
mod words;
