//! x
#[derive(Debug)]
pub struct Admin;
