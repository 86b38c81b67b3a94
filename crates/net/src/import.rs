//! Models made from weights that others trained.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::pattern::Pattern;
use crate::tensor_file::{Array, Values};
use crate::{
    Architecture, ArchitectureError, Calibration, Card, Input, InvalidModel, Margin, Model, Network,
    OnnxNetwork, PatternError, Preprocessing, Tensor, TrainingData, Weights, WeightsError,
};

/// Everything that turns a file of named tensors into a model: the network, the card and the names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportDescription {
    /// The network that the weights belong to.
    pub network: Architecture,
    /// The preprocessing that the weights were trained with.
    pub preprocessing: Preprocessing,
    /// The loss they were trained with, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<Margin>,
    /// The images they were trained on, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<TrainingData>,
    /// A threshold that was measured with them, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// The terms under which they may be used, if any are stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// Anything else a user should know, first of all where they are from.
    #[serde(default)]
    pub notes: String,
    /// How their names become the network's.
    pub names: NameRules,
}

/// What an ONNX file does not say, and nobody may guess.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnnxDescription {
    /// The preprocessing that the network was trained with.
    pub preprocessing: Preprocessing,
    /// The terms under which it may be used, in words; also where none are stated.
    pub licence: String,
    /// The loss it was trained with, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<Margin>,
    /// The images it was trained on, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<TrainingData>,
    /// A threshold that was measured with it, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// Anything else a user should know, first of all where it is from.
    #[serde(default)]
    pub notes: String,
}

impl OnnxDescription {
    /// The size at which a network is read whose file leaves it open.
    pub fn input(&self) -> Input {
        Input { height: self.preprocessing.height, width: self.preprocessing.width }
    }

    /// Makes a model of a network from an ONNX file; `created_by` is the program and its version, for the card.
    ///
    /// # Errors
    /// When the card does not fit the network.
    pub fn import(&self, onnx: OnnxNetwork, created_by: String) -> Result<Model, ImportError> {
        let OnnxNetwork { network, weights, .. } = onnx;
        let card = Card {
            network: network.name.clone(),
            preprocessing: self.preprocessing.clone(),
            feature_dimension: network.feature_dimension(),
            margin: self.margin.clone(),
            data: self.data.clone(),
            calibration: self.calibration.clone(),
            licence: Some(self.licence.clone()),
            notes: self.notes.clone(),
            created_by,
        };
        Ok(Model::new(network, weights, card)?)
    }
}

/// How names in a foreign file become the names of a network's parameters.
///
/// A name or a pattern stands for itself except that `{block}` matches one or more characters other than a dot and
/// `{*rest}` one or more of any. A placeholder of the old name can be used in the new one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NameRules {
    /// Names of tensors that are not needed, whatever `rename` says about them.
    #[serde(default)]
    pub ignore: Vec<String>,
    /// New name for each old name.
    pub rename: BTreeMap<String, String>,
}

/// Why tensors cannot be imported.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ImportError {
    /// The network's settings are wrong.
    #[error("import description has a network that cannot be built")]
    Architecture(#[from] ArchitectureError),
    /// A name in the rules is no pattern.
    #[error("import description has a malformed name")]
    Pattern(#[from] PatternError),
    /// No rule speaks of a tensor.
    #[error("no rule for tensor, add its name to `rename` or to `ignore`: {tensor}")]
    Unmatched {
        /// Its name.
        tensor: String,
    },
    /// Two rules rename a tensor.
    #[error("two rules, {} and {}, fit tensor: {tensor}", rules[0], rules[1])]
    Ambiguous {
        /// Its name.
        tensor: String,
        /// The rules.
        rules: [String; 2],
    },
    /// Two tensors become one parameter.
    #[error("tensors {} and {} both become parameter: {parameter}", tensors[0], tensors[1])]
    Collision {
        /// The parameter.
        parameter: String,
        /// The tensors.
        tensors: [String; 2],
    },
    /// A tensor that is not ignored has values other than f32.
    #[error("tensor must have values of type F32: {tensor}")]
    ValueType {
        /// Its name.
        tensor: String,
    },
    /// The renamed tensors are not the network's parameters.
    #[error("renamed tensors do not fit the network")]
    Weights(#[from] WeightsError),
    /// The card does not fit the network.
    #[error("import description makes no model")]
    Model(#[from] InvalidModel),
}

/// The rules with their patterns parsed.
struct Rules<'r> {
    ignore: Vec<Pattern>,
    rename: Vec<Rename<'r>>,
}

struct Rename<'r> {
    text: &'r str,
    old: Pattern,
    new: Pattern,
}

impl NameRules {
    /// Renames tensors to the parameters of a network and checks that they are exactly those.
    ///
    /// # Errors
    /// See [`ImportError`].
    ///
    /// # Panics
    /// If the network does not pass [`Network::check`].
    pub fn apply(&self, tensors: BTreeMap<String, Array>, network: &Network) -> Result<Weights, ImportError> {
        let rules = self.parse()?;
        let mut weights = Weights::default();
        let mut origins: BTreeMap<String, String> = BTreeMap::new();
        for (tensor, Array { shape, values }) in tensors {
            let Some(parameter) = rules.renamed(&tensor)? else { continue };
            let Values::F32(values) = values else {
                return Err(ImportError::ValueType { tensor });
            };
            weights.insert(parameter.clone(), Tensor::new(shape, values));
            if let Some(first) = origins.insert(parameter.clone(), tensor.clone()) {
                return Err(ImportError::Collision { parameter, tensors: [first, tensor] });
            }
        }
        weights.check(network)?;
        Ok(weights)
    }

    fn parse(&self) -> Result<Rules<'_>, PatternError> {
        let ignore = self.ignore.iter().map(|text| Pattern::parse(text)).collect::<Result<_, _>>()?;
        let mut rename = Vec::new();
        for (text, new_text) in &self.rename {
            let (old, new) = (Pattern::parse(text)?, Pattern::parse(new_text)?);
            new.check_fillable_from(&old, new_text)?;
            rename.push(Rename { text, old, new });
        }
        Ok(Rules { ignore, rename })
    }
}

impl Rules<'_> {
    /// The new name, or `None` for a tensor that is ignored.
    fn renamed(&self, tensor: &str) -> Result<Option<String>, ImportError> {
        if self.ignore.iter().any(|pattern| pattern.matches(tensor).is_some()) {
            return Ok(None);
        }
        let mut fitting =
            self.rename.iter().filter_map(|rule| rule.old.matches(tensor).map(|found| (rule, found)));
        let Some((rule, found)) = fitting.next() else {
            return Err(ImportError::Unmatched { tensor: tensor.to_owned() });
        };
        if let Some((second, _)) = fitting.next() {
            let rules = [rule.text.to_owned(), second.text.to_owned()];
            return Err(ImportError::Ambiguous { tensor: tensor.to_owned(), rules });
        }
        Ok(Some(rule.new.filled(&rule.old, &found)))
    }
}

impl ImportDescription {
    /// Makes a model of foreign tensors; `created_by` is the program and its version, for the card.
    ///
    /// # Errors
    /// See [`ImportError`].
    pub fn import(&self, tensors: BTreeMap<String, Array>, created_by: String) -> Result<Model, ImportError> {
        let network = self.network.build()?;
        let weights = self.names.apply(tensors, &network)?;
        let card = Card {
            network: network.name.clone(),
            preprocessing: self.preprocessing.clone(),
            feature_dimension: network.feature_dimension(),
            margin: self.margin.clone(),
            calibration: self.calibration.clone(),
            data: self.data.clone(),
            licence: self.licence.clone(),
            notes: self.notes.clone(),
            created_by,
        };
        Ok(Model::new(network, weights, card)?)
    }
}
