//! Members' open lots, by account.

use std::collections::BTreeMap;

use common::ids::CustomerId;

use super::undo::Change;
use super::{AccountId, Row, RowState, Work};
use crate::domain::lots::Lot;
use crate::store::accounts::AccountKey;
use crate::store::lots;
use crate::store::postings::PostingRow;

impl Work<'_> {
    /// The lots of a locked member's account with points left or held, by their ids.
    pub async fn open_lots(&mut self, account: AccountKey<'_>) -> Result<Vec<Lot>, common::Error> {
        Ok(self.each_open_lot(account).await?.cloned().collect())
    }

    /// The same, where they need not be kept.
    pub async fn each_open_lot(
        &mut self,
        account: AccountKey<'_>,
    ) -> Result<impl Iterator<Item = &Lot> + Clone, common::Error> {
        let customer_id = account.customer_id;
        if self.kept(customer_id).lots.is_none() {
            self.read_lots(&[customer_id]).await?;
        }
        let id = (account.program_id.to_owned(), account.wallet.clone());
        let lots = self.kept(customer_id).lots.as_ref();
        let own = lots.and_then(|lots| lots.get(&id));
        let own = own.into_iter().flatten().map(|(_, row)| &row.value);
        Ok(own.filter(|lot| lot.remaining > 0 || lot.held > 0))
    }

    /// Notes a lot that a posting makes.
    pub async fn add_lot(&mut self, posting: &PostingRow, lot: Lot) -> Result<(), common::Error> {
        let state = RowState::New(posting.posting_id.clone());
        self.put(posting, Row { value: lot, state }).await
    }

    /// Notes the amounts of a lot of the member that was posted to.
    pub async fn put_lot(&mut self, posting: &PostingRow, lot: Lot) -> Result<(), common::Error> {
        let id = (posting.program_id.clone(), lot.wallet.clone());
        let kept = self.kept(&posting.customer_id).lots.as_ref();
        let before = kept.and_then(|lots| lots.get(&id)?.get(&lot.lot_id));
        let state = match before.map(|row| &row.state) {
            Some(RowState::New(posting_id)) => RowState::New(posting_id.clone()),
            _ => RowState::Changed,
        };
        self.put(posting, Row { value: lot, state }).await
    }

    async fn put(&mut self, posting: &PostingRow, row: Row<Lot>) -> Result<(), common::Error> {
        let customer_id = &posting.customer_id;
        if self.kept(customer_id).lots.is_none() {
            self.read_lots(&[customer_id]).await?;
        }
        let id = (posting.program_id.clone(), row.value.wallet.clone());
        let lot_id = row.value.lot_id.clone();
        let before = self.lots_in(customer_id, &id).insert(lot_id.clone(), row);
        let change = Change::Lot(customer_id.clone(), id, lot_id, before);
        self.changes.push(change);
        Ok(())
    }

    pub(super) async fn read_lots(
        &mut self,
        customer_ids: &[&CustomerId],
    ) -> Result<(), common::Error> {
        let read = lots::list_open_of(self.tx, customer_ids).await?;
        for id in customer_ids {
            self.kept(id).lots = Some(BTreeMap::new());
        }
        for (customer_id, program_id, value) in read {
            let state = RowState::Stored;
            let (id, lot_id) = ((program_id, value.wallet.clone()), value.lot_id.clone());
            let lots = self.lots_in(&customer_id, &id);
            lots.insert(lot_id, Row { value, state });
        }
        Ok(())
    }

    /// The lots of an account of a locked customer.
    pub(super) fn lots_in(
        &mut self,
        customer_id: &CustomerId,
        id: &AccountId,
    ) -> &mut BTreeMap<String, Row<Lot>> {
        let lots = self.kept(customer_id).lots.get_or_insert_default();
        if !lots.contains_key(id) {
            lots.insert(id.clone(), BTreeMap::new());
        }
        lots.get_mut(id).expect("it was just made")
    }
}
