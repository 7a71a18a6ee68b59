/* reasons: see reasons.h. Containers hold the texts of this table (docs/FORMAT.md, "PART"): a text
 * never changes. */
#include "compress/session/reasons.h"
#include "compress/session/report.h"
#include <string.h>

static const struct {
    const char *text;
    bool fault;
} reasons[LORT_REASONS] = {
    [LORT_REASON_NONE] = {"", false},
    [LORT_REASON_LOSSLESS] = {"lossless asked for", false},
    [LORT_REASON_EMPTY] = {"empty", false},
    [LORT_REASON_VECTOR] = {"fewer than two dimensions", false},
    [LORT_REASON_OPAQUE] = {"type is kept, never decoded", false},
    [LORT_REASON_UNKNOWN_TYPE] = {"type is unknown", false},
    [LORT_REASON_NOT_FLOAT] = {"not a floating-point type", false},
    [LORT_REASON_F8_SCALES] = {"F8 with scale companion", false},
    [LORT_REASON_SLICES] = {"too many slices", false},
    [LORT_REASON_EXCLUDED] = {"excluded", false},
    [LORT_REASON_SMALL] = {"a side under --min-dim", false},
    [LORT_REASON_QUANTISED] = {"already block-quantised", false},
    [LORT_REASON_PACKED] = {"packed weight, quantised already", false},
    [LORT_REASON_COMPANION] = {"companion of a packed weight", false},
    [LORT_REASON_ROUTER] = {"router, its order decides", false},
    [LORT_REASON_MASK] = {"mask", false},
    [LORT_REASON_TABLE] = {"table of positions", false},
    [LORT_REASON_EMBEDDING] = {"embedding or output head", false},
    [LORT_REASON_SAME] = {"same as another tensor", false},
    [LORT_REASON_ZERO] = {"all zero", false},
    [LORT_REASON_NOT_FINITE] = {"holds NaN or Inf", true},
    [LORT_REASON_NOT_CONVERGED] = {"eigenvalues did not converge", true},
    [LORT_REASON_LOW_RANK] = {"target out of reach of low rank", false},
    [LORT_REASON_OUTLIERS] = {"too many weights are far larger than the others", false},
    [LORT_REASON_INTEGERS] = {"target out of reach of integers", false},
    [LORT_REASON_TRITS] = {"out of reach of trits", false},
    [LORT_REASON_TRITS_LOW_RANK] = {"target out of reach of trits and low rank", false},
    [LORT_REASON_BREAK_EVEN] = {"rank past break-even", false},
    [LORT_REASON_SHARE] = {"its share holds the lossless form", false},
    [LORT_REASON_FACTORS_LARGER] = {"factors not smaller than the lossless form", false},
    [LORT_REASON_INTEGERS_LARGER] = {"integers not smaller than the lossless form", false},
    [LORT_REASON_TRITS_LARGER] = {"trits not smaller than the lossless form", false},
    [LORT_REASON_DIFFERENCE] = {"lossless difference smaller: rounding is a floor", false},
    [LORT_REASON_LIKE_TYPE] = {"has the type already", false},
    [LORT_REASON_UNCHANGED] = {"equal in both models", false},
    [LORT_REASON_LOST] = {"differs, and has no form in the adapter", false},
    [LORT_REASON_NOISE] = {"differs by rounding only", false},
    [LORT_REASON_SPARED] = {"its update is too small for the target", false},
    [LORT_REASON_WHOLE] = {"stored whole", false},
    [LORT_REASON_SAME_BYTES] = {"same bytes", false},
    [LORT_REASON_BYTES_DIFFER] = {"bytes differ; the type has no decoder", false},
    [LORT_REASON_TYPES_DIFFER] = {"types differ; one has no decoder", false},
    [LORT_REASON_ONE_SIDE_NOT_FINITE] = {"NaN or Inf on one side only", false},
    [LORT_REASON_REFERENCE_ZERO] = {"the reference is all zero", false},
    [LORT_REASON_OTHER] = {"for another reason", false},
};

const char *lort_reason_text(lort_reason reason)
{
    return (unsigned)reason < LORT_REASONS ? reasons[reason].text : "";
}
bool lort_reason_is_fault(lort_reason reason)
{
    return (unsigned)reason < LORT_REASONS && reasons[reason].fault;
}

lort_reason lort_reason_find(const char *text)
{
    for (unsigned i = 0; i < LORT_REASON_OTHER; i++)
        if (strcmp(text, reasons[i].text) == 0)
            return (lort_reason)i;
    return LORT_REASON_OTHER;
}

const char *lort_reason_partly(lort_report *report, uint64_t kept, uint64_t slices,
                               const char *reason)
{
    if (kept == 0)
        return "";
    return lort_report_text(report, "%llu of %llu slices kept: %s", (unsigned long long)kept,
                            (unsigned long long)slices, reason);
}

const char *lort_action_text(lort_action action)
{
    static const char *const texts[] = {[LORT_ACTION_NONE] = "",
                                        [LORT_ACTION_KEPT] = "kept",
                                        [LORT_ACTION_FACTORED] = "factored",
                                        [LORT_ACTION_CODED] = "coded",
                                        [LORT_ACTION_COMPARED] = "compared",
                                        [LORT_ACTION_QUANTISED] = "quantised",
                                        [LORT_ACTION_CONVERTED] = "converted"};
    return (unsigned)action < sizeof texts / sizeof *texts ? texts[action] : "";
}

const char *lort_command_text(lort_command command)
{
    static const char *const texts[] = {[LORT_COMMAND_NONE] = "",
                                        [LORT_COMMAND_COMPRESS] = "compress",
                                        [LORT_COMMAND_PLAN] = "plan",
                                        [LORT_COMMAND_INSPECT] = "inspect",
                                        [LORT_COMMAND_VERIFY] = "verify",
                                        [LORT_COMMAND_RESTORE] = "restore",
                                        [LORT_COMMAND_COMPARE] = "compare",
                                        [LORT_COMMAND_QUANTIZE] = "quantize",
                                        [LORT_COMMAND_EXTRACT] = "extract-lora",
                                        [LORT_COMMAND_RUN] = "run",
                                        [LORT_COMMAND_MERGE] = "merge",
                                        [LORT_COMMAND_REPORT] = "report"};
    return (unsigned)command < sizeof texts / sizeof *texts ? texts[command] : "";
}

const char *lort_mode_text(lort_mode mode)
{
    static const char *const texts[] = {
        [LORT_MODE_AUTO] = "auto", [LORT_MODE_FULL] = "full", [LORT_MODE_STREAM] = "stream"};
    return (unsigned)mode < sizeof texts / sizeof *texts ? texts[mode] : "";
}

const char *lort_phase_text(lort_phase phase)
{
    static const char *const texts[LORT_PHASES] = {
        [LORT_PHASE_OPENING] = "opening",           [LORT_PHASE_CHECKING] = "checking",
        [LORT_PHASE_LOADING] = "loading",           [LORT_PHASE_MEASURING] = "measuring",
        [LORT_PHASE_SAMPLING] = "sampling",         [LORT_PHASE_WRITING] = "writing",
        [LORT_PHASE_READING_BACK] = "reading back", [LORT_PHASE_COMPARING] = "comparing",
    };
    return (unsigned)phase < LORT_PHASES ? texts[phase] : "";
}
