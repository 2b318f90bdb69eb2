//! What the processes of gpuhostd say to each other: what a hand asks of its disposable child, and what the child answers.

pub mod child;
pub mod lines;
