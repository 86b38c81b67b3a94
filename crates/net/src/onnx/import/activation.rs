//! How a tensor of the graph relates to an activation of the network.

use super::constant::{check_rank, elements};
use crate::{Shape, Source};

/// Which way the values of an activation are read, row by row of the tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Channel, height, width.
    ChannelsFirst,
    /// Height, width, channel.
    ChannelsLast,
}

/// A tensor of the graph: an activation of one image, read in an order, cut into dimensions. The batch is a leading
/// dimension of 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Activation {
    pub(super) source: Source,
    pub(super) shape: Shape,
    pub(super) order: Order,
    pub(super) dims: Vec<usize>,
}

impl Activation {
    /// A map, 1 x channels x height x width.
    pub(super) fn map(source: Source, shape: Shape) -> Activation {
        let dims = vec![1, shape.channels, shape.height, shape.width];
        Activation { source, shape, order: Order::ChannelsFirst, dims }
    }

    /// A vector, 1 x channels.
    pub(super) fn vector(source: Source, channels: usize) -> Activation {
        let shape = Shape::vector(channels);
        Activation { source, shape, order: Order::ChannelsFirst, dims: vec![1, channels] }
    }

    /// Whether both orders are one.
    pub(super) fn is_plain(&self) -> bool {
        self.shape.positions() == 1 || self.shape.channels == 1
    }

    pub(super) fn is_first(&self) -> bool {
        self.order == Order::ChannelsFirst || self.is_plain()
    }

    pub(super) fn is_last(&self) -> bool {
        self.order == Order::ChannelsLast || self.is_plain()
    }

    pub(super) fn is_map(&self) -> bool {
        let Shape { height, width, channels } = self.shape;
        self.is_first() && self.dims == [1, channels, height, width]
    }

    pub(super) fn is_vector(&self) -> bool {
        self.shape.positions() == 1 && self.dims == [1, self.shape.channels]
    }

    /// The axis whose index is the channel, if there is one.
    pub(super) fn channel_axis(&self) -> Option<usize> {
        let channels = self.shape.channels;
        if self.is_map() || self.is_vector() {
            return Some(1);
        }
        let last = self.dims.len().checked_sub(1)?;
        (self.is_last() && self.dims[last] == channels).then_some(last)
    }

    /// The same values under other dimensions.
    pub(super) fn with_dims(&self, dims: Vec<usize>) -> Result<Activation, String> {
        check_rank(dims.len())?;
        if elements(&dims) != Some(self.shape.elements()) {
            return Err(format!("a shape of {dims:?} for {:?}", self.dims));
        }
        Ok(Activation { dims, ..self.clone() })
    }

    /// `Transpose`, where it moves channels behind positions or back, or moves nothing but dimensions of 1.
    pub(super) fn transposed(&self, order: &[usize]) -> Result<Activation, String> {
        let dims: Vec<usize> = order.iter().map(|axis| self.dims[*axis]).collect();
        let before: Vec<usize> = (0..self.dims.len()).filter(|axis| self.dims[*axis] > 1).collect();
        let after: Vec<usize> = order.iter().copied().filter(|axis| self.dims[*axis] > 1).collect();
        if before == after {
            return Ok(Activation { dims, ..self.clone() });
        }
        let refused = || format!("Transpose by {order:?} of {:?}", self.dims);
        let cut = before.iter().position(|axis| *axis == after[0]).ok_or_else(refused)?;
        if after != [&before[cut..], &before[..cut]].concat() {
            return Err(refused());
        }
        let leading: usize = before[..cut].iter().map(|axis| self.dims[*axis]).product();
        let order = match self.order {
            Order::ChannelsFirst if leading == self.shape.channels => Order::ChannelsLast,
            Order::ChannelsLast if leading == self.shape.positions() => Order::ChannelsFirst,
            _ => return Err(refused()),
        };
        Ok(Activation { order, dims, ..self.clone() })
    }
}
