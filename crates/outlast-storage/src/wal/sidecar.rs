//! The side-car index of a sealed write-ahead log file.
