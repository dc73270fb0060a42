"""CSV, Parquet and Excel: what is read, what is refused, and the row numbers in messages."""

import datetime
import zipfile

import numpy as np
import openpyxl
import pandas as pd
import pytest

from trajectories.reading import read_cohort
from trajectories.tables import CohortError

CSV = "patient,date,edss,site\n007,2020-01-01,2.0,x\n007,2020-03-01,,\n8,2020-01-05,4.5,y\n"


@pytest.fixture
def visits():
    return pd.DataFrame(
        {
            "patient": ["007", "007", "8"],
            "date": ["2020-01-01", "2020-03-01", "2020-01-05"],
            "edss": [2.0, np.nan, 4.5],
            "site": ["x", None, "y"],
        }
    )


def written(tmp_path, content, name="visits.csv"):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def workbook(tmp_path, sheets, name="visits.xlsx"):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(tmp_path / name)
    return tmp_path / name


def message(*args, **options):
    with pytest.raises(CohortError) as caught:
        read_cohort(*args, **options)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return str(caught.value)


class TestFormats:
    @pytest.mark.parametrize("as_text", [True, False])
    @pytest.mark.parametrize("ending", ["csv", "CSV", "parquet", "pq", "xlsx"])
    def test_every_format_gives_the_cohort_of_the_frame(self, tmp_path, visits, ending, as_text):
        path = tmp_path / f"clinic.{ending}"
        if ending.lower() == "csv":
            visits.to_csv(path, index=False)
        elif ending == "xlsx":
            visits.to_excel(path, index=False)
        else:
            visits.to_parquet(path)
        cohort, expected = read_cohort(str(path) if as_text else path), read_cohort(visits)
        pd.testing.assert_frame_equal(cohort.visits, expected.visits)
        pd.testing.assert_frame_equal(cohort.patients, expected.patients)
        assert cohort.notes == expected.notes
        assert cohort.name == "clinic"
        assert expected.name == "cohort"

    def test_three_files(self, tmp_path):
        cohort = read_cohort(
            written(tmp_path, CSV),
            relapses=written(tmp_path, "patient,date\n8,2020-02-01\n", "relapses.csv"),
            patients=written(
                tmp_path, "patient,arm,age,smoker,n\n8,1,30,True,\n007,0,31.5,FALSE,2\n", "patients.csv"
            ),
        )
        assert cohort.arms == ("1", "0")
        assert cohort.relapses["day"].tolist() == [27]
        patients = cohort.patients
        assert patients["smoker"].tolist() == [True, False]
        assert patients["age"].tolist() == [30, 31.5]
        np.testing.assert_array_equal(patients["n"], [np.nan, 2])

    def test_a_relapse_file_with_a_header_only_says_that_nobody_had_one(self, tmp_path):
        for relapses in (
            written(tmp_path, "patient,date\n", "relapses.csv"),
            workbook(tmp_path, {"relapses": [["patient", "date"]]}, "relapses.xlsx"),
        ):
            cohort = read_cohort(written(tmp_path, CSV), relapses=relapses)
            assert len(cohort.relapses) == 0

    def test_types_of_other_columns(self, tmp_path):
        cohort = read_cohort(
            written(
                tmp_path, "patient,day,edss,count,score,flag,text\n1,0,2,3,1.5,true,a\n1,9,2,4,,false,7\n"
            )
        )
        assert cohort.visits.dtypes[["count", "score", "flag", "text"]].astype(str).tolist() == [
            "int64",
            "float64",
            "bool",
            "str",
        ]

    def test_byte_order_mark_windows_line_ends_quotes_blank_lines_and_padding(self, tmp_path):
        text = '\ufeff patient , date,"edss"\r\n\r\n1, 2020-01-01 ,"2.0"\r\n,,\r\n1,"2020-03-01", 3 \r\n\r\n'
        cohort = read_cohort(written(tmp_path, text.encode()))
        assert cohort.visits[["patient", "day", "edss"]].to_numpy().tolist() == [
            ["1", 0, 2.0],
            ["1", 60, 3.0],
        ]

    def test_excel_cells_have_types(self, tmp_path):
        path = workbook(
            tmp_path,
            {
                "Sheet1": [
                    ["patient", "date", "edss", "seen", None],
                    [7, datetime.datetime(2020, 1, 1, 14), 2, datetime.datetime(2020, 5, 1)],
                    [None, None, None, None],
                    ["7", datetime.date(2020, 3, 1), "3.5", None],
                    [8.0, datetime.datetime(2020, 3, 1), None, None],
                ]
            },
        )
        visits = read_cohort(path).visits
        assert visits["patient"].tolist() == ["7", "7", "8"]
        assert visits["day"].tolist() == [0, 60, 0]
        np.testing.assert_array_equal(visits["edss"], [2, 3.5, np.nan])
        assert visits["seen"].tolist()[0] == pd.Timestamp("2020-05-01")

    def test_numbers_too_large_for_exact_integers_stay_floats(self, tmp_path):
        visits = read_cohort(written(tmp_path, "patient,day,edss,n\n1,0,2,3\n1,9,2,1e300\n")).visits
        assert visits["n"].tolist() == [3, 1e300]

    def test_a_sheet_that_claims_a_wrong_size_is_read_whole(self, tmp_path):
        path = workbook(tmp_path, {"x": [["patient", "day", "edss"], [1, 0, 2.0], [1, 9, 2.5]]})
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, content.replace(b'<dimension ref="A1:C3"', b'<dimension ref="A1"'))
        assert b'ref="A1:C3"' in parts["xl/worksheets/sheet1.xml"]
        assert len(read_cohort(path).visits) == 2

    def test_excel_sheets_named_after_the_tables(self, tmp_path):
        path = workbook(
            tmp_path,
            {
                "Patients": [["patient", "arm"], [1, "x"]],
                "visits": [["patient", "day", "edss"], [1, 0, 2.0]],
                "relapses": [["patient", "day"], [1, 5]],
                "empty": [],
            },
        )
        cohort = read_cohort(path, relapses=path, patients=path)
        assert cohort.arms == ("x",)
        assert cohort.relapses["day"].tolist() == [5]


class TestRowNumbers:
    def test_lines_of_a_csv_file_count_the_header_and_what_is_between(self, tmp_path):
        text = 'patient,day,edss,note\n1,0,0.5,"two\nlines"\n\n1,9,2.0,\n1,20,"4,5",x\n'
        said = message(written(tmp_path, text))
        assert said.startswith(
            "visits (visits.csv; the header is line 1), column 'edss': 2 values are not on the"
        )
        assert "\n  line 2: '0.5'\n  line 6: '4,5'\n" in said

    def test_rows_of_an_excel_sheet_count_the_header(self, tmp_path):
        path = workbook(tmp_path, {"x": [[], ["patient", "day", "edss"], [1, 0, 2.0], [], [1, 9, 0.5]]})
        said = message(path)
        assert said.startswith(
            "visits (visits.xlsx; the header is row 2), column 'edss': 1 value is not on the"
        )
        assert "\n  row 5: 0.5\n" in said

    def test_parquet_has_index_labels(self, tmp_path, visits):
        visits["edss"] = [2.0, 0.5, 2.0]
        visits.index = ["x", "y", "z"]
        visits.to_parquet(tmp_path / "v.parquet")
        said = message(tmp_path / "v.parquet")
        assert said.startswith("visits (v.parquet, rows by index label), column 'edss'")
        assert "\n  index y: 0.5\n" in said

    def test_repeated_visits_name_both_lines(self, tmp_path):
        said = message(written(tmp_path, "patient,day,edss\n1,0,2\n2,0,2\n1,0,3\n"))
        assert "\n  line 4: same patient and day as line 2\n" in said


class TestRefused:
    def test_a_path_that_does_not_exist(self, tmp_path):
        said = message(tmp_path / "missing.csv")
        assert said.startswith(
            f"visits: the file '{tmp_path / 'missing.csv'}' does not exist.\n  What to do: check the path"
        )

    def test_a_folder(self, tmp_path):
        (tmp_path / "folder.csv").mkdir()
        assert "is a folder, not a file.\n  What to do: check the path" in message(tmp_path / "folder.csv")

    @pytest.mark.parametrize(
        "name", ["visits.sas7bdat", "visits.xls", "visits", "visits.csv.gz", "visits.tsv"]
    )
    def test_an_unknown_ending(self, tmp_path, name):
        said = message(written(tmp_path, CSV, name))
        assert (
            "has an ending that is not known.\n  What to do: give a file that ends in .csv, "
            ".parquet or .xlsx." in said
        )
        assert ("Save an old .xls workbook as .xlsx." in said) == name.endswith(".xls")

    @pytest.mark.parametrize("table", ["visits", "relapses", "patients"])
    @pytest.mark.parametrize("ending", ["csv", "parquet", "xlsx"])
    def test_an_empty_file(self, tmp_path, table, ending):
        tables = {"visits": written(tmp_path, CSV)}
        tables[table] = written(tmp_path, "", f"nothing.{ending}")
        said = message(**tables)
        assert said.startswith(f"{table}: the file '")
        assert "is empty.\n  What to do: export the table again, with a header line." in said

    @pytest.mark.parametrize("content", ["\n\n", " \n,,\n", "\ufeff"])
    def test_a_file_of_blank_lines(self, tmp_path, content):
        assert "is empty.\n" in message(written(tmp_path, content))

    def test_an_empty_workbook(self, tmp_path):
        assert "is an empty workbook." in message(workbook(tmp_path, {"a": [], "b": []}))

    def test_a_header_only(self, tmp_path):
        said = message(written(tmp_path, "patient,day,edss\n"))
        assert said.startswith("visits (visits.csv; the header is line 1): there is no visit at all.")

    @pytest.mark.parametrize(
        ("ending", "kind"), [("xlsx", "an Excel workbook"), ("parquet", "a Parquet file")]
    )
    def test_a_csv_file_under_another_name(self, tmp_path, ending, kind):
        said = message(written(tmp_path, CSV, f"visits.{ending}"))
        assert (
            f"is not {kind}, as its name says, but looks like text.\n  What to do: rename it to end in .csv."
            in said
        )

    def test_other_formats_named_csv(self, tmp_path, visits):
        visits.to_parquet(tmp_path / "a.csv")
        assert "looks like a Parquet file.\n  What to do: rename it to end in .parquet." in message(
            tmp_path / "a.csv"
        )
        book = workbook(tmp_path, {"x": [["patient"]]}).rename(tmp_path / "b.csv")
        assert "is not a CSV file, as its name says, but looks like an Excel workbook" in message(book)

    @pytest.mark.parametrize(
        ("content", "kind"),
        [
            (b"\x89PNG\r\n\x1a\n\x00\x00\x00", "binary data"),
            (CSV.encode() + b"\x00", "binary data"),
            (b"\x1f\x8b\x08abc", "compressed by gzip"),
            (CSV.encode("utf-16"), "text in UTF-16"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1", "an old or password-protected Excel file"),
        ],
    )
    def test_binary_named_csv(self, tmp_path, content, kind):
        said = message(written(tmp_path, content))
        assert f"is not a CSV file, as its name says, but looks like {kind}" in said
        assert "What to do: save the table as CSV (UTF-8, comma-separated)." in said

    def test_parquet_named_excel_and_back(self, tmp_path, visits):
        visits.to_parquet(tmp_path / "a.xlsx")
        assert "looks like a Parquet file.\n  What to do: rename it to end in .parquet." in message(
            tmp_path / "a.xlsx"
        )
        book = workbook(tmp_path, {"x": [["patient"]]}).rename(tmp_path / "b.parquet")
        assert "looks like an Excel workbook (or another zip archive)" in message(book)

    def test_damaged_files(self, tmp_path, visits):
        visits.to_parquet(tmp_path / "whole.parquet")
        whole = (tmp_path / "whole.parquet").read_bytes()
        said = message(written(tmp_path, whole[: len(whole) // 2], "cut.parquet"))
        assert "cannot be read as Parquet: it is damaged or incomplete." in said
        book = workbook(tmp_path, {"x": [["patient"]]}).read_bytes()
        for content in (book[: len(book) // 2], b"PK\x03\x04 nothing"):
            said = message(written(tmp_path, content, "cut.xlsx"))
            assert "cannot be read as an Excel workbook: it is damaged." in said

    def test_a_zip_that_is_no_workbook(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "z.xlsx", "w") as archive:
            archive.writestr("a.txt", "hello")
        assert "cannot be read as an Excel workbook" in message(tmp_path / "z.xlsx")

    def test_not_utf8(self, tmp_path):
        said = message(written(tmp_path, "patient,day,edss\n1,0,2\nMüller,0,2\n".encode("cp1252")))
        assert "is not UTF-8 text (line 3).\n  What to do: save it as 'CSV UTF-8'." in said

    @pytest.mark.parametrize(("separator", "word"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
    def test_other_separators(self, tmp_path, separator, word):
        text = CSV.replace(",", separator).replace(".", ",")
        said = message(written(tmp_path, text))
        assert f"is separated by {word}, not by commas; numbers may have decimal commas, too." in said
        assert f"pd.read_csv('visits.csv', sep={separator!r}, decimal=',') instead of the path" in said
        frame = pd.read_csv(tmp_path / "visits.csv", sep=separator, decimal=",")
        assert len(read_cohort(frame).visits) == 3  # the remedy works

    def test_lines_with_too_many_or_too_few_cells(self, tmp_path):
        said = message(written(tmp_path, "patient,day,edss\n1,0,4,5\n1,90,4\n1,180\n1,200,2,\n"))
        assert said.startswith(
            "visits (visits.csv; the header is line 1): 2 rows have another number of cells "
            "than the header.\n"
            "  line 2: 4 instead of 3\n  line 4: 2 instead of 3\n  What to do: quote cells "
            "that contain a comma"
        )

    def test_many_ragged_lines_are_counted(self, tmp_path):
        said = message(written(tmp_path, "patient,day,edss\n" + "1,0,4,5\n" * 23))
        assert "23 rows" in said
        assert "  line 11: 4 instead of 3\n  … and 13 more\n" in said

    def test_a_quote_that_never_ends(self, tmp_path):
        said = message(written(tmp_path, 'patient,day,edss\n1,0,"4\n1,9,3\n'))
        assert "is not readable as CSV near line" in said
        assert "What to do: check the quotes there." in said

    def test_one_name_for_two_columns(self, tmp_path):
        assert "more than one column is called 'edss'." in message(
            written(tmp_path, "patient,day,edss, edss\n1,0,2,2\n")
        )

    def test_several_sheets_none_of_them_named(self, tmp_path):
        rows = [["patient", "day", "edss"], [1, 0, 2.0]]
        said = message(workbook(tmp_path, {"2020": rows, "2021": rows}))
        assert (
            "has 2 sheets: '2020', '2021'.\n  What to do: call the one to read 'visits', or give a workbook"
            in said
        )

    def test_excel_dates_kept_as_numbers(self, tmp_path):
        said = message(workbook(tmp_path, {"x": [["patient", "date", "edss"], [1, 43831, 2.0]]}))
        assert "column 'date': 1 value is written as a number, not as a date.\n  row 2: 43831\n" in said

    def test_excel_error_cells(self, tmp_path):
        rows = [["patient", "day", "edss"], [1, 0, "#VALUE!"], [1, 9, "#N/A"]]
        said = message(workbook(tmp_path, {"x": rows}))
        assert "1 value is not on the EDSS scale.\n  row 2: '#VALUE!'\n" in said  # "#N/A" is missing

    def test_infinite_covariates_in_text(self, tmp_path):
        said = message(written(tmp_path, "patient,day,edss,lesions\n1,0,2,3\n1,9,2,inf\n"))
        assert "column 'lesions': 1 value is infinite.\n  line 3\n" in said
