//! What the processes of gpuhostd say to each other: the front to a hand, and a hand to its disposable child.

pub mod child;
pub mod docker_task;
pub mod hand;
pub mod lines;
