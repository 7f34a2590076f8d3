//! Reads that lag behind: lists and entries that show an older moment.

use super::store::StaleScope;
use super::{AwsError, Region};

impl Region {
    /// ListSecrets shows this moment from now on, whatever is written.
    pub fn hold_lists(&self) {
        self.store(|store, _| store.hold_list());
    }

    /// ListSecrets is up to date again.
    pub fn release_lists(&self) {
        self.store(|store, _| store.release_list());
    }

    /// From now on pages of ListSecrets hold at most `most` entries, and their tokens say how many entries came
    /// before: an entry that comes or goes between two pages moves those behind it, so that one is listed twice
    /// or not at all.
    pub fn shift_pages(&self, most: usize) {
        self.store(|store, _| store.count_pages(most));
    }

    /// The next `times` reads of this entry, or all until released, see it as it is now; call it
    /// before the write that they shall miss.
    ///
    /// # Errors
    /// When there is no such secret.
    pub fn hold_reads(
        &self,
        id: &str,
        times: Option<u32>,
        scope: StaleScope,
    ) -> Result<(), AwsError> {
        self.store(|store, _| {
            let name = store.resolve(id)?.name.clone();
            store.hold_reads(&name, times, scope);
            Ok(())
        })
    }

    /// The next `times` reads of this entry, or all until released, see it as it was before
    /// `AWSCURRENT` moved last.
    ///
    /// # Errors
    /// When there is no such secret or it has no `AWSPREVIOUS`.
    pub fn serve_previous(
        &self,
        id: &str,
        times: Option<u32>,
        scope: StaleScope,
    ) -> Result<(), AwsError> {
        self.store(|store, _| {
            let name = store.resolve(id)?.name.clone();
            if store.serve_previous(&name, times, scope) {
                return Ok(());
            }
            Err(AwsError::invalid_request("There is no previous version."))
        })
    }

    /// Reads of this entry are up to date again.
    pub fn release_reads(&self, name: &str) {
        self.store(|store, _| store.release_reads(name));
    }
}
