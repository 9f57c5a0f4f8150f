//! What the all-in-one makes for itself.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::suite;

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_once_in_the_data_folder_and_kept_to_oneself() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("customer-encryption-keys");
    suite(folder.path()).await.stop().await.unwrap();
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let made = std::fs::read(&file).unwrap();
    suite(folder.path()).await.stop().await.unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), made);
}
