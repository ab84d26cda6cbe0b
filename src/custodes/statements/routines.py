"""Built-in functions by what they do to a statement's answer: reveal, collect, or only compute."""

from __future__ import annotations

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


COUNTING: Final = _words(
    """
    count sum avg stddev stddev_pop stddev_samp variance var_pop var_samp bool_and bool_or every approx_distinct bit_and bit_or
    bit_xor corr covar_pop covar_samp regr_count count_if countif approx_count_distinct regr_slope
    """
)
"""Aggregates whose result is nobody's own value. All others (`string_agg`, `array_agg`, `min`, `max`, …) hand values on."""

HARMLESS: Final = COUNTING | _words(
    """
    abs age acos asin atan atan2 ascii array_agg array_append array_cat array_length array_lower array_position array_positions
    array_prepend array_remove array_replace array_to_string array_upper array_to_json bit_length btrim broadcast cardinality
    cbrt ceil ceiling char_length character_length chr clock_timestamp coalesce col_description concat concat_ws convert
    convert_from convert_to cos cot current_database current_date current_schema current_schemas current_setting current_time
    current_timestamp current_user daterange date_bin date_part date_trunc decode degrees dense_rank digest div encode exp
    extract family first_value float8 floor format gen_random_uuid generate_series generate_subscripts get_bit get_byte greatest
    has_column_privilege has_database_privilege has_function_privilege has_schema_privilege has_table_privilege hashtext host
    hostmask inet_client_addr inet_client_port inet_merge inet_same_family inet_server_addr inet_server_port initcap int4range
    int8range isempty isfinite json_agg json_array_elements json_array_elements_text json_array_length json_build_array
    json_build_object json_each json_each_text json_extract_path json_extract_path_text json_object json_object_agg
    json_object_keys json_populate_record json_strip_nulls json_to_record json_to_recordset json_typeof jsonb_agg
    jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each
    jsonb_each_text jsonb_extract_path jsonb_extract_path_text jsonb_object jsonb_object_agg jsonb_object_keys jsonb_path_exists
    jsonb_path_query jsonb_path_query_array jsonb_path_query_first jsonb_pretty jsonb_set jsonb_strip_nulls jsonb_to_record
    jsonb_to_recordset jsonb_typeof justify_days justify_hours justify_interval lag last_value lastval lead least left length ln
    localtime localtimestamp log log10 lower lower_inc lower_inf lpad ltrim make_date make_interval make_time make_timestamp
    make_timestamptz masklen max md5 min mod mode multirange netmask network nextval now nth_value ntile nullif num_nonnulls
    num_nulls numrange obj_description octet_length overlay parse_ident percent_rank percentile_cont percentile_disc
    pg_backend_pid pg_client_encoding pg_column_size pg_conf_load_time pg_database_size pg_encoding_to_char pg_get_constraintdef
    pg_get_expr pg_get_functiondef pg_get_indexdef pg_get_userbyid pg_get_viewdef pg_indexes_size pg_is_in_recovery
    pg_my_temp_schema pg_postmaster_start_time pg_relation_size pg_size_pretty pg_sleep pg_table_is_visible pg_table_size
    pg_total_relation_size pg_type_is_visible pg_typeof pi plainto_tsquery phraseto_tsquery position power quote_ident
    quote_literal quote_nullable radians random range_merge rank regexp_like regexp_count regexp_match regexp_matches
    regexp_replace regexp_split_to_array regexp_split_to_table regexp_instr regexp_substr repeat replace reverse right round row
    row_number row_to_json rpad rtrim scale session_user set_config set_masklen setseed setval sha224 sha256 sha384 sha512
    shobj_description sign sin split_part sqrt starts_with statement_timestamp string_agg string_to_array string_to_table strpos
    substr substring tan text timeofday timezone to_ascii to_char to_date to_hex to_json to_jsonb to_number to_timestamp
    to_tsquery to_tsvector transaction_timestamp translate trim trunc ts_headline ts_rank ts_rank_cd tsrange tstzrange
    txid_current unnest upper upper_inc upper_inf uuid_generate_v4 version websearch_to_tsquery width_bucket xpath cume_dist
    any_value array_shuffle array_sample json_value json_query json_exists json_table grouping similarity word_similarity
    uuid_generate_v1 nvl ifnull if
    """
)
"""Built-in functions that read no table. Any other routine could read anything: its accesses are `opaque_routine`."""

LETTER_CASE: Final = frozenset({"lower", "upper", "trim", "btrim", "ltrim", "rtrim"})
"""Functions around a name or address that do not change whom it names."""
ADDRESS_TEXT: Final = frozenset({"host", "abbrev", "text", "inet"})
"""Functions around an address that keep it one address."""

LOSSLESS: Final = frozenset(
    {"INT", "BIGINT", "SMALLINT", "TEXT", "VARCHAR", "UUID", "DECIMAL", "INET", "CIDR", "INT128", "BIGDECIMAL"}
)
"""Casts that keep different values different, if they have no length."""
INTEGERS: Final = _words("INT BIGINT SMALLINT")
