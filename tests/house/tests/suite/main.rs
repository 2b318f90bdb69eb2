//! The rules of the house.

mod arrows;
mod demo;
mod layout;
mod limits;
mod links;
mod lints;
mod messages;
mod prints;
mod programs;
mod reach;
mod specification;
mod unused;
mod words;
