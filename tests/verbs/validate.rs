//! `keyferry validate`: exit codes and streams. What it finds is tested where it is decided.

use crate::kit::Laptop;

#[tokio::test(flavor = "multi_thread")]
async fn a_good_manifest_ends_with_0_a_bad_one_with_1_and_bad_arguments_with_2() {
    let laptop = Laptop::new().await;
    let binding = "apiVersion: keyferry.dev/v1alpha1\nkind: ExternalSecretBinding\nmetadata: {name: a}\nspec:\n  data:\n  - {key: A, from: {secret: estate/a}}\n";
    laptop.file("good.yaml", binding);
    laptop.file("bad.yaml", &binding.replace("key: A", "key: a/b"));
    let good = laptop.run(&["validate", "-f", "good.yaml"]).await;
    assert_eq!((good.code, good.stderr.as_str()), (Some(0), ""));
    let bad = laptop.run(&["validate", "-f", "bad.yaml"]).await;
    assert_eq!(bad.code, Some(1));
    assert!(bad.stdout.starts_with("bad.yaml:6: "), "{}", bad.stdout);
    let none = laptop.run(&["validate"]).await;
    assert_eq!(none.code, Some(2));
    assert!(none.stderr.contains("--filename"), "{}", none.stderr);
    assert_eq!(laptop.region().reads_of("estate/a"), 0);
    assert_eq!(laptop.aws.calls().len(), 0, "validate calls nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_beside_bindings_is_not_shown() {
    let laptop = Laptop::new().await;
    let value = laptop.canaries.plain();
    let secret = format!("kind: Secret\nstringData: {{a: {value}}}\n");
    laptop.file("all/secret.yaml", &secret);
    laptop.file("all/broken.yaml", &format!("{secret}b: [{value}\n"));
    laptop.file("all/twice.yaml", &format!("{value}: 1\n{value}: {value}\n"));
    let ran = laptop.run(&["validate", "-f", "all"]).await;
    assert_eq!(ran.code, Some(1));
    for place in ["all/broken.yaml:", "all/twice.yaml:2"] {
        assert!(ran.stdout.contains(place), "{}", ran.stdout);
    }
    laptop.says_nothing(&ran);
}
