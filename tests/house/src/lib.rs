//! What the tests of the house look through: the files of the tree, the packages of the workspace, the structure of a source.

pub mod modules;
pub mod packages;
pub mod paths;
pub mod product;
pub mod rules;
pub mod source;
pub mod tree;
