//! The header of a guest list: which column holds what, by the names that people give to columns.
//!
//! Names are compared without case, accents, spaces and punctuation. A column with a name that is not known is kept as
//! the list's own ("custom") under [`custom_key`]; nothing of a list is thrown away because nobody thought of it.

use super::email::EmailAddress;
use super::fold::{clean, fold, without_accent};
use super::import_error::ImportError;

/// Most columns that a list may have.
pub(super) const COLUMNS_MAX: usize = 256;

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Field {
    /// E-mail address.
    Email,
    /// The whole name.
    Name,
    /// Given name, joined with the family name into one.
    FirstName,
    /// Family name.
    LastName,
    /// Telephone number.
    Phone,
    /// What the guest eats.
    DietaryRequirements,
    /// Whether somebody comes along.
    PlusOne,
    /// Whether the guest comes.
    Rsvp,
    /// Groups.
    Groups,
    /// Country code.
    Country,
    /// Language tag.
    Locale,
    /// IANA time zone.
    Timezone,
    /// Channels in order of preference.
    Preferred,
    /// Slack id.
    Slack,
    /// Where the guest's data came from, as an export says.
    Source,
    /// Who answers for it, as an export says.
    VouchedBy,
    /// A column of the list's own, by its key.
    Custom(String),
}

/// Each field's own name, as exports write it, with the other names that are understood, folded.
const NAMES: &[(Field, &str, &str)] = &[
    (
        Field::Email,
        "email",
        "email emailaddress emailaddresse emailadress mail mailaddress emailid eaddress primaryemail guestemail \
         emailadresse mailadresse courriel adressemail adresseemail adressecourriel adresseelectronique mel correo \
         correoelectronico direccionemail direcciondecorreo indirizzoemail epost",
    ),
    (
        Field::Name,
        "name",
        "name fullname guestname guest names displayname contact contactname vollername gast gastname nom nomcomplet \
         invite nombre nombrecompleto invitado nomecompleto",
    ),
    (Field::FirstName, "first_name", "firstname givenname forename first vorname prenom nombredepila"),
    (
        Field::LastName,
        "last_name",
        "lastname familyname surname last nachname familienname zuname nomdefamille apellido apellidos cognome",
    ),
    (
        Field::Phone,
        "phone",
        "phone phonenumber phoneno phonenr mobile mobilephone mobilenumber mobileno cell cellphone cellphonenumber \
         cellnumber tel telno telephone telephonenumber telefon telefonnummer telnr handy handynummer handynr mobil \
         mobiltelefon mobilnummer portable telephoneportable numerodetelephone numeroportable gsm telefono \
         numerodetelefono movil telefonomovil celular cellulare telefone sms smsnumber whatsapp whatsappnumber",
    ),
    (
        Field::DietaryRequirements,
        "dietary_requirements",
        "dietaryrequirements dietaryrequirement diet dietary dietaryneeds dietaryrestrictions dietaryrestriction \
         dietarypreferences specialdiet allergies allergy food foodpreferences meal ernahrung ernaehrung diat diaet \
         essen unvertraglichkeiten unvertraeglichkeiten allergien regime regimealimentaire restrictionsalimentaires dieta \
         restriccionesalimentarias requisitosdieteticos alergias",
    ),
    (
        Field::PlusOne,
        "plus_one",
        "plusone plus1 1 guestallowed bringsguest additionalguest extraguest begleitung begleitperson accompagnant \
         accompagnateur plusun acompanante masuno",
    ),
    (
        Field::Rsvp,
        "rsvp_status",
        "rsvpstatus rsvp status response rsvpresponse reply answer attending attendance antwort zusage ruckmeldung \
         rueckmeldung reponse presence respuesta asistencia confirmacion estado",
    ),
    (
        Field::Groups,
        "groups",
        "groups group tags tag category categories guestgroup party gruppe gruppen kategorie groupe groupes categorie \
         etiquettes grupo grupos etiquetas categoria",
    ),
    (
        Field::Country,
        "country",
        "country countrycode land landercode laendercode landeskennzahl pays codepays pais paese",
    ),
    (Field::Locale, "locale", "locale language lang languagetag sprache langue idioma lengua lingua"),
    (
        Field::Timezone,
        "timezone",
        "timezone tz timezonename ianatimezone zeitzone fuseauhoraire zonahoraria fusohorario",
    ),
    (
        Field::Preferred,
        "preferred",
        "preferred preferredchannel preferredchannels preferredcontact preferredcontactmethod contactpreference \
         preference channel channels contactmethod bevorzugterkanal kanal bevorzugt canal canalprefere \
         canalpreferido",
    ),
    (Field::Slack, "slack", "slack slackid slackuser slackuserid slackmemberid slackchannel slackhandle"),
    (Field::Source, "source", "source"),
    (Field::VouchedBy, "vouched_by", "vouchedby"),
];

impl Field {
    /// The field that a column of this name holds.
    pub fn of(name: &str) -> Self {
        let folded = fold(name);
        NAMES
            .iter()
            .find(|(_, _, aliases)| aliases.split_ascii_whitespace().any(|alias| alias == folded))
            .map_or_else(|| Self::Custom(custom_key(name)), |(field, _, _)| field.clone())
    }

    /// The name under which it is exported, filtered and edited.
    pub fn name(&self) -> &str {
        match self {
            Self::Custom(key) => key,
            known => NAMES.iter().find(|(field, _, _)| field == known).map_or("", |(_, name, _)| name),
        }
    }

    /// The names of all fields that every list knows, in the order of an export.
    pub fn known_names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(_, name, _)| *name)
    }

    /// Whether a guest can be reached by what the column holds.
    fn is_address(&self) -> bool {
        matches!(self, Self::Email | Self::Phone | Self::Slack)
    }
}

/// The key of a column of the list's own: lower case, without accents, everything but letters and digits an underscore,
/// at most 64 characters: `Table No.` becomes `table_no`. Folding a key again gives the same key.
pub fn custom_key(name: &str) -> String {
    let mut key = String::new();
    let mut gap = false;
    for c in name.chars().flat_map(char::to_lowercase) {
        let letters = match without_accent(c) {
            Some(letters) => letters.to_owned(),
            None if c.is_alphanumeric() => c.to_string(),
            None => {
                gap = !key.is_empty();
                continue;
            }
        };
        if key.chars().count() + letters.chars().count() + usize::from(gap) > 62 {
            break;
        }
        if gap && !letters.is_empty() {
            key.push('_');
            gap = false;
        }
        key.push_str(&letters);
    }
    if key.starts_with(|c: char| c.is_numeric()) { format!("_{key}") } else { key }
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    /// As the file writes it, cleaned; `column 7` where the file writes nothing.
    pub(super) title: String,
    pub(super) field: Field,
}

/// All columns, in the file's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) columns: Vec<Column>,
}

impl Header {
    /// Understands a header row, or says why it is none.
    pub(super) fn read(cells: &[String], line: u64) -> Result<Self, ImportError> {
        if cells.len() > COLUMNS_MAX {
            return Err(ImportError::TooManyColumns { line, found: cells.len(), most: COLUMNS_MAX });
        }
        if let Some(cell) = cells.iter().find(|cell| looks_like_data(cell)) {
            return Err(ImportError::NoHeader { line, example: shorten(&clean(cell)) });
        }
        let mut columns: Vec<Column> = Vec::with_capacity(cells.len());
        for (n, cell) in cells.iter().enumerate() {
            let title = shorten(&clean(cell));
            columns.push(if title.is_empty() {
                Column { title: format!("column {}", n + 1), field: Field::Custom(format!("column_{}", n + 1)) }
            } else {
                let field = match Field::of(&title) {
                    Field::Custom(key) if key.is_empty() => Field::Custom(format!("column_{}", n + 1)),
                    field => field,
                };
                Column { title, field }
            });
        }
        name_is_family_name(&mut columns);
        for (n, column) in columns.iter().enumerate() {
            if let Some(earlier) = columns[..n].iter().position(|c| c.field == column.field) {
                return Err(ImportError::TwoColumns {
                    first: columns[earlier].title.clone(),
                    first_at: earlier + 1,
                    second: column.title.clone(),
                    second_at: n + 1,
                    field: column.field.name().to_owned(),
                });
            }
        }
        if !columns.iter().any(|column| column.field.is_address()) {
            return Err(ImportError::NoAddressColumn {
                found: columns.iter().map(|c| c.title.as_str()).collect::<Vec<_>>().join(", "),
            });
        }
        Ok(Self { columns })
    }

    /// How many cells of a would-be header are names that are known; decides between separators.
    pub(super) fn recognised(cells: &[String]) -> usize {
        cells.iter().filter(|cell| !matches!(Field::of(cell), Field::Custom(_))).count()
    }
}

/// Lists with `Name` and `Vorname` (or `Nom` and `Prénom`) mean the family name by the former.
fn name_is_family_name(columns: &mut [Column]) {
    let given =
        columns.iter().any(|c| c.field == Field::FirstName && matches!(fold(&c.title).as_str(), "vorname" | "prenom"));
    let family = columns.iter().any(|c| c.field == Field::LastName);
    if given && !family {
        let bare = |c: &&mut Column| c.field == Field::Name && matches!(fold(&c.title).as_str(), "name" | "nom");
        if let Some(column) = columns.iter_mut().find(bare) {
            column.field = Field::LastName;
        }
    }
}

/// Whether a cell can only stand in a row of data: an address, or a number long enough for a telephone.
fn looks_like_data(cell: &str) -> bool {
    let number = |c: char| c.is_ascii_digit() || " +()-./".contains(c);
    EmailAddress::parse(cell).is_ok()
        || (cell.chars().all(number) && cell.bytes().filter(u8::is_ascii_digit).count() >= 7)
}

/// Titles are shown and repeated with each problem: 80 characters of them are enough.
fn shorten(text: &str) -> String {
    if text.chars().count() <= 80 { text.to_owned() } else { text.chars().take(79).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(header: &str) -> Result<Vec<Field>, ImportError> {
        let cells: Vec<String> = header.split(',').map(str::to_owned).collect();
        Header::read(&cells, 1).map(|header| header.columns.into_iter().map(|c| c.field).collect())
    }

    #[test]
    fn usual_names_are_understood_in_four_languages() {
        use Field as F;
        for (header, fields) in [
            ("E-Mail,Full Name,Mobile,Diet", vec![F::Email, F::Name, F::Phone, F::DietaryRequirements]),
            ("Plus One?,RSVP,Group(s),Tags", vec![F::PlusOne, F::Rsvp, F::Groups, F::Groups]),
            ("Email Address,First name,Last Name", vec![F::Email, F::FirstName, F::LastName]),
            ("Vorname,Name,Handy,Ernährung", vec![F::FirstName, F::LastName, F::Phone, F::DietaryRequirements]),
            ("Prénom,Nom,Téléphone,Pays", vec![F::FirstName, F::LastName, F::Phone, F::Country]),
            ("Nombre,Correo electrónico,Móvil,País", vec![F::Name, F::Email, F::Phone, F::Country]),
            ("Preferred channel,Time zone,Language", vec![F::Preferred, F::Timezone, F::Locale]),
            ("Slack ID,Table No.", vec![F::Slack, F::Custom("table_no".into())]),
            ("+1", vec![F::PlusOne]),
        ] {
            let found: Vec<Field> = match read(header) {
                Ok(fields) => fields,
                Err(_) => header.split(',').map(Field::of).collect(),
            };
            assert_eq!(found, fields, "{header}");
        }
    }

    #[test]
    fn two_columns_for_one_field_are_both_named() {
        let error = read("email,Phone,Mobile").unwrap_err();
        assert!(matches!(&error, ImportError::TwoColumns { first_at: 2, second_at: 3, .. }), "{error:?}");
        assert!(error.to_string().contains("Phone") && error.to_string().contains("Mobile"), "{error}");
        assert!(matches!(read("email,Table no,TABLE-NO"), Err(ImportError::TwoColumns { .. })));
    }

    #[test]
    fn data_and_addressless_headers_are_refused() {
        assert!(matches!(read("john@example.com,John"), Err(ImportError::NoHeader { .. })));
        assert!(matches!(read("John,+1 212 555 0101"), Err(ImportError::NoHeader { .. })));
        assert!(matches!(read("name,table"), Err(ImportError::NoAddressColumn { .. })));
        assert!(matches!(read(&"x,".repeat(300)), Err(ImportError::TooManyColumns { .. })));
    }

    #[test]
    fn every_field_is_found_by_its_own_name() {
        for (field, name, _) in NAMES {
            assert_eq!((&Field::of(name), field.name()), (field, *name));
        }
    }

    proptest! {
        #[test]
        fn a_key_is_its_own_key(name in any::<String>()) {
            let key = custom_key(&name);
            prop_assert_eq!(custom_key(&key), key.clone());
            prop_assert!(key.chars().count() <= 64);
        }
    }
}
