//! Why a description of a simulated host cannot be used.

use model::ids::PciAddress;

/// Why a description cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadDescription {
    /// Neither a built-in host nor a file.
    #[error("{name} is neither a built-in host ({known}) nor a readable file: give a name of the list or a path")]
    NotFound {
        /// What was asked for.
        name: String,
        /// The built-in hosts.
        known: String,
        /// What the file system answered.
        #[source]
        source: std::io::Error,
    },
    /// The text is no description.
    #[error("{origin} is no host description")]
    Syntax {
        /// Name or path.
        origin: String,
        /// Line, column and what is wrong.
        #[source]
        source: toml::de::Error,
    },
    /// Two functions at one address.
    #[error("two functions have the address {address}: give each an address of its own")]
    TwiceTheSameAddress {
        /// The address.
        address: PciAddress,
    },
    /// A GPU of a model that is not described.
    #[error("GPU {address} is of the model {model:?}, which `models` does not have")]
    NoSuchModel {
        /// The GPU.
        address: PciAddress,
        /// The model.
        model: String,
    },
    /// A function below a bridge that is not described.
    #[error("{address} hangs below the bridge {parent}, which `functions` does not have")]
    NoSuchBridge {
        /// The function.
        address: PciAddress,
        /// The bridge.
        parent: PciAddress,
    },
    /// A companion with an impossible function number.
    #[error("model {model:?} has a companion with the function number {function}: 1 to 7 are possible")]
    BadFunctionNumber {
        /// The model.
        model: String,
        /// The number.
        function: u8,
    },
}
