//! Members and their accounts: what is in them, and the tier.

use common::ids::CustomerId;

use super::undo::Change;
use super::{Row, RowState, Work};
use crate::domain::currency::Wallet;
use crate::domain::plan::Holding;
use crate::store::accounts::{self, AccountKey};
use crate::store::members::{self, Standing};

impl Work<'_> {
    /// A locked customer's memberships in all programs or in one (`program_id` not empty), by program, each turned to
    /// the account in the program's first currency.
    pub async fn standings(
        &mut self,
        customer_id: &CustomerId,
        program_id: &str,
    ) -> Result<Vec<Standing>, common::Error> {
        if self.kept(customer_id).standings.is_none() {
            self.read_standings(&[customer_id]).await?;
        }
        let rows = self.kept(customer_id).standings.iter().flatten();
        let wanted =
            rows.filter(|row| program_id.is_empty() || row.value.member.program_id == program_id);
        let mut standings: Vec<_> = wanted.map(|row| row.value.clone()).collect();
        for standing in &mut standings {
            // Noted as it was turned to whatever was posted to last.
            let first = AccountKey {
                wallet: &Wallet::first(),
                ..standing.key()
            };
            let holding = self.holding(first);
            standing.turn_to(Wallet::first(), holding);
        }
        Ok(standings)
    }

    /// A locked customer's membership in a program, turned to an account.
    pub async fn standing(
        &mut self,
        account: AccountKey<'_>,
    ) -> Result<Option<Standing>, common::Error> {
        let standings = self.standings(account.customer_id, account.program_id);
        let mut standing = standings.await?.into_iter().next();
        if let Some(standing) = &mut standing {
            standing.turn_to(account.wallet.clone(), self.holding(account));
        }
        Ok(standing)
    }

    /// Whether a member, who was read before, has points held in any currency.
    pub fn holds_any(&self, standing: &Standing) -> bool {
        let member = &standing.member;
        let accounts = self.customers.get(&member.customer_id);
        let accounts = accounts.iter().flat_map(|kept| &kept.accounts);
        let mut own = accounts.filter(|((program_id, _), _)| *program_id == member.program_id);
        own.any(|(_, account)| account.value.held > 0)
    }

    /// What is in an account of a customer who was read before; nothing in one that there is not.
    fn holding(&self, account: AccountKey<'_>) -> Holding {
        let id = (account.program_id.to_owned(), account.wallet.clone());
        let kept = self.customers.get(account.customer_id);
        let row = kept.and_then(|kept| kept.accounts.get(&id));
        row.map(|row| row.value).unwrap_or_default()
    }

    /// Notes what is in an account, and the tier, as far as they are others than before.
    pub async fn put_standing(&mut self, standing: &Standing) -> Result<(), common::Error> {
        let customer_id = &standing.member.customer_id;
        if self.kept(customer_id).standings.is_none() {
            self.read_standings(&[customer_id]).await?;
        }
        let program_id = &standing.member.program_id;
        let rows = self.kept(customer_id).standings.iter_mut().flatten();
        let mut same = rows.filter(|row| row.value.member.program_id == *program_id);
        if let Some(row) = same.next() {
            let state = if row.value.is_in_same_tier(standing) {
                row.state.clone()
            } else {
                RowState::Changed
            };
            let changed = Row {
                value: standing.clone(),
                state,
            };
            let before = std::mem::replace(row, changed);
            self.changes.push(Change::Standing(Box::new(before)));
            self.put_account(standing);
        }
        Ok(())
    }

    fn put_account(&mut self, standing: &Standing) {
        let (account, value) = (standing.key(), standing.holding());
        if self.holding(account) == value {
            return;
        }
        let id = (account.program_id.to_owned(), account.wallet.clone());
        let state = RowState::Changed;
        let accounts = &mut self.kept(account.customer_id).accounts;
        let before = accounts.insert(id.clone(), Row { value, state });
        let customer_id = account.customer_id.clone();
        self.changes.push(Change::Account(customer_id, id, before));
    }

    pub(super) async fn read_standings(
        &mut self,
        customer_ids: &[&CustomerId],
    ) -> Result<(), common::Error> {
        let read = members::list_standings(self.tx, customer_ids, "", self.tx.now()).await?;
        let accounts = accounts::list(self.tx, customer_ids).await?;
        for id in customer_ids {
            let kept = self.kept(id);
            kept.standings = Some(Vec::new());
            kept.accounts.clear();
        }
        for read in accounts {
            let (value, state) = (read.holding(), RowState::Stored);
            let accounts = &mut self.kept(&read.customer_id).accounts;
            accounts.insert((read.program_id, read.wallet), Row { value, state });
        }
        for value in read {
            let kept = self.kept(&value.member.customer_id);
            let state = RowState::Stored;
            kept.standings
                .get_or_insert_default()
                .push(Row { value, state });
        }
        Ok(())
    }
}
