//! SecretProviderClass of the AWS provider: files in a pod, and Secrets made of them.

use serde_json::{Map, Value, json};

use super::{
    Document, Made, data_item,
    fields::{Fields, Report},
    opened, paths,
};

/// One file that the class gives to a pod.
struct File {
    name: String,
    from: Value,
    path: String,
    used: bool,
}

pub(super) fn convert(document: &Document, report: &mut Report) -> Vec<Made> {
    let (mut top, mut metadata, name) = opened(document, report);
    metadata.lost(&["labels", "annotations"], "belong to the class", report);
    metadata.end(report);
    let mut spec = top.fields("spec", report);
    top.end(report);
    if spec.text("provider", report).as_deref() != Some("aws") {
        report.lost(
            "spec.provider",
            "keyferry reads AWS only: no binding is made of it",
        );
        return Vec::new();
    }
    let mut parameters = spec.fields("parameters", report);
    let source = source(&mut parameters, report);
    let slash = match parameters.text("pathTranslation", report).as_deref() {
        Some("False") => None,
        Some(sign) => Some(sign.to_owned()),
        None => Some("_".to_owned()),
    };
    let mut files = files(&mut parameters, slash.as_deref(), report);
    parameters.end(report);
    report.note(
        "spec.parameters",
        "the operator reads, not each pod as itself: spec.source.serviceAccountName where the install allows it",
    );
    let mut made = Vec::new();
    let secrets = spec.items("secretObjects", report);
    let alone = secrets.is_empty();
    for (path, item) in secrets {
        let binding = secret(
            document,
            Fields::of(&path, item, report),
            &mut files,
            &source,
            report,
        );
        made.extend(binding);
    }
    spec.end(report);
    if alone {
        report.note("spec", "gives files to pods, and no Secret: mount the Secret as a volume in the CSI volume's place");
        let data = files
            .iter()
            .map(|file| data_item(&file.name, file.from.clone(), false));
        let spec = whole(&source, Map::new(), data.collect());
        made.extend(document.made(&name, spec, report));
    } else {
        for file in files.iter().filter(|file| !file.used) {
            report.lost(
                &file.path,
                format!(
                    "file {} stands in no secretObjects: name its key there, or in spec.data",
                    file.name
                ),
            );
        }
    }
    made
}

fn source(parameters: &mut Fields, report: &mut Report) -> Map<String, Value> {
    let mut source = Map::new();
    if let Some(region) = parameters.text("region", report) {
        source.insert("region".into(), region.into());
    }
    if let Some(region) = parameters.text("failoverRegion", report) {
        source.insert("failoverRegions".into(), json!([region]));
    }
    parameters.lost(
        &["usePodIdentity"],
        "the operator's own identity is IRSA or Pod Identity, for all",
        report,
    );
    parameters.lost(
        &["preferredAddressType"],
        "the SDK's own variables choose addresses",
        report,
    );
    parameters.lost(&["filePermission"], "a volume has its defaultMode", report);
    source
}

fn files(parameters: &mut Fields, slash: Option<&str>, report: &mut Report) -> Vec<File> {
    let at = parameters.at("objects");
    let Some(text) = parameters.text("objects", report) else {
        return Vec::new();
    };
    let Ok(Value::Array(objects)) = serde_yaml::from_str::<Value>(&text) else {
        report.lost(&at, "is no list in YAML");
        return Vec::new();
    };
    let objects = objects.into_iter().enumerate();
    objects
        .flat_map(|(n, object)| {
            object_files(
                Fields::of(&format!("{at}[{n}]"), object, report),
                slash,
                report,
            )
        })
        .collect()
}

fn object_files(mut object: Fields, slash: Option<&str>, report: &mut Report) -> Vec<File> {
    let Some(name) = object.text("objectName", report) else {
        object.end(report);
        return Vec::new();
    };
    let of_type = object.text("objectType", report);
    let is_parameter = match of_type.as_deref() {
        Some(kind) => kind != "secretsmanager",
        None => name.split(':').nth(2) == Some("ssm"),
    };
    let alias = object.text("objectAlias", report);
    let id = object.text("objectVersion", report);
    let label = object.text("objectVersionLabel", report);
    let mut from = Map::new();
    if is_parameter {
        let version = id
            .or(label)
            .map(|version| format!(":{version}"))
            .unwrap_or_default();
        from.insert("parameter".into(), format!("{name}{version}").into());
    } else {
        from.insert("secret".into(), name.clone().into());
        if let (Some(id), _) = (&id, &label) {
            from.insert("versionId".into(), id.clone().into());
        }
        match (&id, label) {
            (Some(_), Some(_)) => report.lost(
                &object.at("objectVersionLabel"),
                "one version is named by its id already",
            ),
            (None, Some(label)) if label != "AWSCURRENT" => {
                drop(from.insert("versionStage".into(), label.into()))
            }
            _ => {}
        }
    }
    object.lost(&["filePermission"], "a volume has its defaultMode", report);
    object.lost(
        &["failoverObject"],
        "a replica has the entry's own name: spec.source.failoverRegions",
        report,
    );
    let path = object.at("objectName");
    let file = |name: &str, from: Map<String, Value>, path: String| File {
        name: match slash {
            Some(sign) => name.replace('/', sign),
            None => name.trim_start_matches('/').to_owned(),
        },
        from: Value::Object(from),
        path,
        used: false,
    };
    let mut files = vec![file(alias.as_deref().unwrap_or(&name), from.clone(), path)];
    for (path, item) in object.items("jmesPath", report) {
        let mut entry = Fields::of(&path, item, report);
        let (expression, alias) = (
            entry.text("path", report),
            entry.text("objectAlias", report),
        );
        entry.lost(&["filePermission"], "a volume has its defaultMode", report);
        let at = entry.at("path");
        entry.end(report);
        let (Some(expression), Some(alias)) = (expression, alias) else {
            continue;
        };
        match paths::of_jmespath(&expression) {
            Some(property) => {
                let mut from = from.clone();
                from.insert("property".into(), property.into());
                files.push(file(&alias, from, at));
            }
            None => report.lost(
                &at,
                format!(
                    "\"{expression}\" computes; properties are names, dotted paths and indices"
                ),
            ),
        }
    }
    object.end(report);
    files
}

/// A Secret that the driver makes of files.
fn secret(
    document: &Document,
    mut secret: Fields,
    files: &mut [File],
    source: &Map<String, Value>,
    report: &mut Report,
) -> Option<Made> {
    let mut target = super::target::Target::default();
    let name = secret.text("secretName", report)?;
    if let Some(type_) = secret
        .text("type", report)
        .filter(|type_| type_ != "Opaque")
    {
        match crate::api::limits::secret_type_is_allowed(&type_) {
            true => drop(target.fields.insert("type".into(), type_.into())),
            false => report.lost(
                &secret.at("type"),
                "Secrets of this type are never written: the cluster acts upon them",
            ),
        }
    }
    for field in ["labels", "annotations"] {
        let at = secret.at(field);
        let texts = secret.texts(field, report);
        super::target::carried(&mut target, field, &at, texts, report);
    }
    let mut data = Vec::new();
    for (path, item) in secret.items("data", report) {
        let mut entry = Fields::of(&path, item, report);
        let (object, key) = (entry.text("objectName", report), entry.text("key", report));
        entry.end(report);
        let (Some(object), Some(key)) = (object, key) else {
            continue;
        };
        match files
            .iter_mut()
            .find(|file| file.name == object.trim_start_matches('/') || file.name == object)
        {
            Some(file) => {
                file.used = true;
                data.push(data_item(&key, file.from.clone(), false));
            }
            None => report.lost(&path, format!("no object gives a file {object}")),
        }
    }
    let at = secret.at("secretName");
    secret.end(report);
    report.note(
        &at,
        "the driver's Secret goes with its last pod; the binding's stays until the binding goes",
    );
    let spec = whole(source, target.fields, data);
    document.made(&name, spec, report)
}

fn whole(
    source: &Map<String, Value>,
    target: Map<String, Value>,
    data: Vec<Value>,
) -> Map<String, Value> {
    let mut spec = Map::from_iter([("data".to_owned(), Value::Array(data))]);
    if !source.is_empty() {
        spec.insert("source".into(), source.clone().into());
    }
    if !target.is_empty() {
        spec.insert("target".into(), target.into());
    }
    spec
}
