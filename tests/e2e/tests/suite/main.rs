//! The shipped executables as an operator meets them. What measures the daemon under load has a program of its own.

mod bare;
mod closed;
mod desired_files;
mod doctor;
mod events;
mod example;
mod faults;
mod features;
mod gone;
mod health;
mod holders;
mod hosts;
mod main_job;
mod manager;
mod metrics;
mod mig;
mod pages;
mod passthrough;
mod snapshot;
