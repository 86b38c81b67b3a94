//! The settings of each operation, and the shape that it puts out.

use super::{
    KERNEL_AT_MOST, NetworkError, SIDE_AT_MOST, check_channels, check_elements, check_init, require,
};
use crate::{
    BatchNorm, Clip, Convolution, Dropout, Linear, Node, Op, PRelu, Pool, Shape, Slice, Span, Upsample,
};

/// Checks a node's settings and returns the shape of its output.
pub(super) fn output_shape(node: &Node, inputs: &[Shape]) -> Result<Shape, NetworkError> {
    let input = inputs[0];
    match &node.op {
        Op::Convolution(convolution) => convolution_shape(node, convolution, input),
        Op::BatchNorm(BatchNorm { epsilon, momentum }) => {
            require(node, "epsilon", epsilon, *epsilon > 0.0 && *epsilon < 1.0, || "between 0 and 1")?;
            require(node, "momentum", momentum, (0.0..=1.0).contains(momentum), || "in [0, 1]")?;
            Ok(input)
        }
        Op::PRelu(PRelu { init }) => {
            require(node, "init", init, init.is_finite(), || "finite")?;
            Ok(input)
        }
        Op::Add => equal(node, inputs[0], inputs[1]),
        Op::Multiply if inputs[1] == Shape::vector(input.channels) => Ok(input),
        Op::Multiply => equal(node, inputs[0], inputs[1]),
        Op::Dropout(Dropout { probability }) => {
            require(node, "probability", probability, (0.0..1.0).contains(probability), || "in [0, 1)")?;
            Ok(input)
        }
        Op::Linear(Linear { out_features, bias: _, init }) => {
            check_channels(node, "out_features", *out_features)?;
            check_init(node, *init)?;
            check_elements(node, "weight", [*out_features, input.elements(), 1])?;
            Ok(Shape::vector(*out_features))
        }
        Op::Relu | Op::Sigmoid | Op::Softmax | Op::Affine => Ok(input),
        Op::Clip(Clip { low, high }) => {
            for bound in [low, high].into_iter().flatten() {
                require(node, "bounds", bound, bound.is_finite(), || "finite")?;
            }
            if let (Some(low), Some(high)) = (low, high) {
                require(node, "low", low, low <= high, || format!("not above high, {high}"))?;
            }
            Ok(input)
        }
        Op::Concat => {
            let mut channels = 0_usize;
            for other in inputs {
                equal(node, Shape { channels: 1, ..input }, Shape { channels: 1, ..*other })?;
                channels = channels.saturating_add(other.channels);
            }
            check_channels(node, "channels", channels)?;
            Ok(Shape { channels, ..input })
        }
        Op::Join => {
            let elements = inputs.iter().fold(0_usize, |sum, input| sum.saturating_add(input.elements()));
            Ok(Shape::vector(elements))
        }
        Op::Flatten => Ok(Shape::vector(input.elements())),
        Op::Pool(pool) => pool_shape(node, pool, input),
        Op::GlobalAverage => Ok(Shape::vector(input.channels)),
        Op::Upsample(Upsample { factor }) => {
            require(node, "factor", factor, (1..=KERNEL_AT_MOST).contains(factor), || {
                format!("between 1 and {KERNEL_AT_MOST}")
            })?;
            Ok(Shape { height: input.height * factor, width: input.width * factor, ..input })
        }
        Op::Resample(resample) => {
            let size = resample.size([input.height, input.width]);
            let [height, width] = size.unwrap_or([0; 2]);
            let text = format!("{:?} of {}x{}", resample.extent, input.height, input.width);
            require(node, "extent", &text, size.is_some() && height.max(width) <= SIDE_AT_MOST, || {
                format!("to make sides between 1 and {SIDE_AT_MOST}")
            })?;
            Ok(Shape { height, width, ..input })
        }
        Op::Slice(Slice { rows, columns, channels }) => {
            for (setting, span, size) in [
                ("rows", rows, input.height),
                ("columns", columns, input.width),
                ("channels", channels, input.channels),
            ] {
                let Span { start, end, step } = *span;
                let text = format!("{start}..{end} by {step}");
                require(node, setting, &text, start < end && end <= size && step > 0, || {
                    format!("to be a part of {size}, by a step above 0")
                })?;
            }
            Ok(Shape { height: rows.count(), width: columns.count(), channels: channels.count() })
        }
    }
}

fn equal(node: &Node, left: Shape, right: Shape) -> Result<Shape, NetworkError> {
    if left == right {
        return Ok(left);
    }
    Err(NetworkError::UnequalShapes { node: node.name.clone(), op: node.op.name(), left, right })
}

fn pool_shape(node: &Node, pool: &Pool, input: Shape) -> Result<Shape, NetworkError> {
    let Pool { kernel, stride, padding, .. } = *pool;
    window(node, kernel, stride, padding)?;
    let (Some(height), Some(width)) =
        (pool.windows(input.height, kernel[0]), pool.windows(input.width, kernel[1]))
    else {
        return Err(NetworkError::KernelTooLarge { node: node.name.clone(), kernel, padding, input });
    };
    Ok(Shape { height, width, ..input })
}

/// Kernel, stride and padding of a convolution or a pooling.
fn window(node: &Node, kernel: [usize; 2], stride: usize, padding: usize) -> Result<(), NetworkError> {
    for side in kernel {
        let fits = (1..=KERNEL_AT_MOST).contains(&side);
        require(node, "kernel sides", &side, fits, || format!("between 1 and {KERNEL_AT_MOST}"))?;
    }
    let shortest = kernel[0].min(kernel[1]);
    require(node, "stride", &stride, (1..=KERNEL_AT_MOST).contains(&stride), || {
        format!("between 1 and {KERNEL_AT_MOST}")
    })?;
    require(node, "padding", &padding, padding < shortest, || {
        format!("below the kernel's shorter side, {shortest}")
    })
}

fn convolution_shape(node: &Node, convolution: &Convolution, input: Shape) -> Result<Shape, NetworkError> {
    let Convolution { out_channels, kernel, stride, padding, groups, bias: _, init } = *convolution;
    check_channels(node, "out_channels", out_channels)?;
    check_init(node, init)?;
    window(node, kernel, stride, padding)?;
    let divides = groups > 0 && input.channels.is_multiple_of(groups) && out_channels.is_multiple_of(groups);
    require(node, "groups", &groups, divides, || {
        format!("to divide {} input and {out_channels} output channels", input.channels)
    })?;
    let extent = |size: usize, kernel: usize| {
        (size + 2 * padding).checked_sub(kernel).map(|last_start| last_start / stride + 1)
    };
    let (Some(height), Some(width)) = (extent(input.height, kernel[0]), extent(input.width, kernel[1]))
    else {
        return Err(NetworkError::KernelTooLarge { node: node.name.clone(), kernel, padding, input });
    };
    check_elements(node, "weight", [out_channels, input.channels / groups, kernel[0] * kernel[1]])?;
    Ok(Shape { height, width, channels: out_channels })
}
