//! Which columns have room on a screen of a width, and how wide each is: the most important first.

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    /// PCI address.
    Address,
    /// Product name.
    Name,
    /// What the GPU is used for.
    Use,
    /// Utilization.
    Load,
    /// Memory as a bar.
    Bar,
    /// Memory in numbers.
    Memory,
    /// Power and its limit.
    Power,
    /// Temperature.
    Temperature,
    /// Why clocks are held down.
    Throttle,
    /// Who uses it.
    Users,
}

impl Column {
    /// From left to right.
    pub(crate) const ALL: [Self; 10] = [
        Self::Address,
        Self::Name,
        Self::Use,
        Self::Load,
        Self::Bar,
        Self::Memory,
        Self::Power,
        Self::Temperature,
        Self::Throttle,
        Self::Users,
    ];

    /// What is given up last is first.
    const BY_WEIGHT: [Self; 10] = [
        Self::Address,
        Self::Load,
        Self::Memory,
        Self::Temperature,
        Self::Power,
        Self::Users,
        Self::Name,
        Self::Use,
        Self::Throttle,
        Self::Bar,
    ];

    /// Over the column.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Address => "ADDRESS",
            Self::Name => "NAME",
            Self::Use => "USE",
            Self::Load => "LOAD",
            Self::Bar => "",
            Self::Memory => "MEMORY",
            Self::Power => "POWER",
            Self::Temperature => "TEMP",
            Self::Throttle => "THROTTLED BY",
            Self::Users => "USED BY",
        }
    }

    /// Numbers stand at the right of their column.
    pub(crate) const fn is_number(self) -> bool {
        match self {
            Self::Load | Self::Memory | Self::Power | Self::Temperature => true,
            Self::Address | Self::Name | Self::Use | Self::Bar | Self::Throttle | Self::Users => false,
        }
    }

    /// Columns that may be narrower than what is in them, and how narrow.
    const fn least(self) -> Option<usize> {
        match self {
            Self::Name => Some(9),
            Self::Users => Some(14),
            Self::Bar => Some(6),
            Self::Throttle => Some(12),
            Self::Address | Self::Use | Self::Load | Self::Memory | Self::Power | Self::Temperature => None,
        }
    }
}

/// Between two columns.
pub(crate) const GAP: usize = 1;

/// The columns that fit, from left to right, each with its width. `content` shows how wide what is in a column is; a
/// column that is empty (0) is left out.
pub(crate) fn fit(width: usize, content: impl Fn(Column) -> usize) -> Vec<(Column, usize)> {
    let wanted = |column: Column| content(column).max(column.title().chars().count());
    let mut chosen: Vec<(Column, usize)> = Vec::new();
    let mut room = width;
    for column in Column::BY_WEIGHT.into_iter().filter(|column| content(*column) > 0) {
        let least = column.least().map_or_else(|| wanted(column), |least| least.min(wanted(column)));
        let needed = least + if chosen.is_empty() { 0 } else { GAP };
        if needed <= room {
            room -= needed;
            chosen.push((column, least));
        }
    }
    // What is left over goes to those that were made narrow.
    for column in [Column::Name, Column::Throttle, Column::Users, Column::Bar] {
        if let Some((_, got)) = chosen.iter_mut().find(|(chosen, _)| *chosen == column) {
            let more = wanted(column).saturating_sub(*got).min(room);
            *got += more;
            room -= more;
        }
    }
    Column::ALL.into_iter().filter_map(|column| chosen.iter().find(|(c, _)| *c == column).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(column: Column) -> usize {
        match column {
            Column::Address => 12,
            Column::Name => 24,
            Column::Use => 6,
            Column::Load => 5,
            Column::Bar => 20,
            Column::Memory => 13,
            Column::Power => 9,
            Column::Temperature => 5,
            Column::Throttle => 0,
            Column::Users => 40,
        }
    }

    #[test]
    fn they_never_take_more_than_there_is() {
        for width in 0..200 {
            let columns = fit(width, content);
            let gaps = columns.len().saturating_sub(1) * GAP;
            let taken = columns.iter().map(|(_, width)| width).sum::<usize>() + gaps;
            assert!(taken <= width, "{width}: {columns:?}");
            assert!(columns.iter().all(|(column, _)| *column != Column::Throttle), "nothing stands in it");
        }
    }

    #[test]
    fn the_most_important_are_there_even_on_a_narrow_screen_and_all_on_a_wide_one() {
        let at = |width| fit(width, content).into_iter().map(|(column, _)| column).collect::<Vec<_>>();
        assert_eq!(at(0), []);
        assert_eq!(at(20), [Column::Address, Column::Load]);
        assert_eq!(at(50), [Column::Address, Column::Load, Column::Memory, Column::Power, Column::Temperature]);
        assert_eq!(at(200).len(), 9);
    }

    #[test]
    fn room_that_is_left_goes_to_what_was_made_narrow() {
        let users = |width| fit(width, content).into_iter().find(|(column, _)| *column == Column::Users).unwrap().1;
        assert!(users(95) < users(110) && users(200) == 40);
    }
}
