//! What a driver wants done with its GPU, out of the words of nvidia-smi, of NVML's numbers, and of drivers to come.

use super::facts::HealthFacts;

/// The most that a driver asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecoveryAction {
    /// Nothing.
    None,
    /// A reset: of the GPU, of its function (`PF FLR`) or of its bus.
    Reset,
    /// A reboot of the machine.
    Reboot,
    /// No traffic between GPUs; after that it shows what it really wants.
    DrainP2p,
    /// No further work, and then a reset.
    DrainAndReset,
    /// The IMEX domain of several machines has to recover: no fault of this GPU.
    RecoverImexDomain,
    /// Words that nobody knows yet. It wants something, and that is not nothing.
    Other,
}

impl RecoveryAction {
    /// The action that these words stand for: `None`, `Reset`, `GPU Reset`, `Node Reboot`, `Drain P2P`, `Drain and Reset`, `PF FLR`, …
    #[must_use]
    pub fn of_words(words: &str) -> Self {
        let lower = words.trim().to_ascii_lowercase();
        let has = |part: &str| lower.contains(part);
        let is_word = |word: &str| lower.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| part == word);
        if lower == "none" || lower.is_empty() {
            Self::None
        } else if has("imex") {
            Self::RecoverImexDomain
        } else if has("reboot") {
            Self::Reboot
        } else if has("drain") && has("reset") {
            Self::DrainAndReset
        } else if has("drain") {
            Self::DrainP2p
        } else if has("reset") || is_word("flr") {
            Self::Reset
        } else {
            Self::Other
        }
    }

    /// What these facts ask for: the driver's own word, or the flags by which older drivers say it.
    #[must_use]
    pub fn of_facts(facts: &HealthFacts) -> Self {
        match facts.recovery_action.known().map(|words| Self::of_words(words)) {
            Some(wanted) if wanted != Self::None => wanted,
            Some(_) | None if facts.reset_required.get() == Some(true) => Self::Reset,
            Some(_) | None if facts.drain_and_reset_recommended.get() == Some(true) => Self::DrainAndReset,
            Some(_) | None => Self::None,
        }
    }

    /// Nothing may be given to the GPU before it was reset.
    #[must_use]
    pub const fn wants_reset(self) -> bool {
        match self {
            Self::Reset | Self::DrainAndReset => true,
            Self::None | Self::Reboot | Self::DrainP2p | Self::RecoverImexDomain | Self::Other => false,
        }
    }
}

/// nvidia-smi's words for a number of `nvmlDeviceGpuRecoveryAction_t`; one that is new keeps its number.
#[must_use]
pub fn words_of(number: u64) -> String {
    match number {
        0 => "None",
        1 => "Reset",
        2 => "Reboot",
        3 => "Drain P2P",
        4 => "Drain and Reset",
        5 => "Recover IMEX Domain",
        6 => "Bus Reset",
        7 => "System Reboot",
        _ => return format!("action {number}"),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::absence::Reading;

    #[test]
    fn every_word_of_every_driver() {
        use RecoveryAction as A;
        for (words, expected) in [
            ("None", A::None),
            ("", A::None),
            ("Reset", A::Reset),
            ("GPU Reset", A::Reset),
            ("GPU Reset Required", A::Reset),
            ("Bus Reset", A::Reset),
            ("PF FLR", A::Reset),
            ("pf flr", A::Reset),
            ("Reboot", A::Reboot),
            ("Node Reboot", A::Reboot),
            ("System Reboot", A::Reboot),
            ("Drain P2P", A::DrainP2p),
            ("Drain and Reset", A::DrainAndReset),
            ("Recover IMEX Domain", A::RecoverImexDomain),
            ("Frobnicate", A::Other),
            ("flrx", A::Other),
            ("action 12", A::Other),
        ] {
            assert_eq!(A::of_words(words), expected, "{words}");
        }
    }

    #[test]
    fn each_number_of_nvml_means_what_its_word_means() {
        use RecoveryAction as A;
        let of = |number| A::of_words(&words_of(number));
        let known =
            [A::None, A::Reset, A::Reboot, A::DrainP2p, A::DrainAndReset, A::RecoverImexDomain, A::Reset, A::Reboot];
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(of), known);
        assert_eq!((of(8), of(u64::MAX)), (A::Other, A::Other), "a number of tomorrow is no `None`");
    }

    #[test]
    fn older_drivers_say_it_with_flags_and_the_word_outweighs_them() {
        let flags = |reset, drain| HealthFacts {
            reset_required: Reading::Known(reset),
            drain_and_reset_recommended: Reading::Known(drain),
            ..HealthFacts::default()
        };
        assert_eq!(RecoveryAction::of_facts(&flags(false, false)), RecoveryAction::None);
        assert_eq!(RecoveryAction::of_facts(&flags(true, true)), RecoveryAction::Reset);
        assert_eq!(RecoveryAction::of_facts(&flags(false, true)), RecoveryAction::DrainAndReset);
        let word = HealthFacts { recovery_action: Reading::Known("Reboot".to_owned()), ..flags(true, false) };
        assert_eq!(RecoveryAction::of_facts(&word), RecoveryAction::Reboot);
        let calm = HealthFacts { recovery_action: Reading::Known("None".to_owned()), ..flags(true, false) };
        assert_eq!(RecoveryAction::of_facts(&calm), RecoveryAction::Reset, "neither is taken back by the other");
        assert_eq!(RecoveryAction::of_facts(&HealthFacts::default()), RecoveryAction::None);
    }
}
