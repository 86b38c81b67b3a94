//! Shapes of activations.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Shape of one sample's activation; a vector is 1 x 1 x channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels.
    pub channels: usize,
}

impl Shape {
    /// The shape of a vector.
    pub fn vector(channels: usize) -> Shape {
        Shape { height: 1, width: 1, channels }
    }

    /// Values in one sample.
    pub fn elements(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Positions in one channel.
    pub fn positions(&self) -> usize {
        self.height * self.width
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}x{}x{}", self.height, self.width, self.channels)
    }
}
