//! The server over a real broker and store, seen through its sockets.

mod failed_disk;
mod harness;
mod http;
mod limits;
mod pipelining;
mod queues;
mod stop;
