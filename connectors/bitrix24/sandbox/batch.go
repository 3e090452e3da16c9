package sandbox

import (
	"regexp"
	"strings"
)

const maxBatch = 50

// reference is a use of an earlier result: $result[name][0][ID] (§6).
var reference = regexp.MustCompile(`\$result((?:\[[^\[\]]+\])+)`)

// batch carries out up to 50 commands in order. Inner errors stand in
// result_error; the answer is 200 even when all fail.
func (p *Portal) batch(who caller, args map[string]any) (result, *restError) {
	cmd := child(args, "cmd")
	names, commands := []string{}, []any{}
	switch cmd := cmd.(type) {
	case map[string]any:
		names = inOrder(args, cmd)
		for _, name := range names {
			commands = append(commands, cmd[name])
		}
	case []any:
		return result{}, fail(400, "ERROR_ARGUMENT", "This sandbox takes named commands only")
	default:
		return result{}, fail(400, "ERROR_ARGUMENT", "The cmd parameter is empty")
	}
	if len(names) > maxBatch {
		p.violate("sent a batch of %d commands", len(names))
		return result{}, fail(400, "ERROR_BATCH_LENGTH_EXCEEDED", "Max batch length exceeded")
	}
	who.inBatch = true
	halt := text(child(args, "halt")) == "1"
	results, errors, totals, nexts, times := map[string]any{}, map[string]any{}, map[string]any{}, map[string]any{}, map[string]any{}
	for i, name := range names {
		out, bad := p.command(who, text(commands[i]), results)
		if bad != nil {
			e := map[string]any{"error": bad.code, "error_description": bad.text}
			for k, v := range bad.extra {
				e[k] = v
			}
			errors[name] = e
			if halt {
				break
			}
			continue
		}
		results[name] = out.value
		if out.total != nil {
			totals[name] = *out.total
		}
		if out.next != nil {
			nexts[name] = *out.next
		}
		times[name] = map[string]any{"operating": p.cost}
	}
	return result{value: map[string]any{
		"result": orList(results), "result_error": orList(errors), "result_total": orList(totals),
		"result_next": orList(nexts), "result_time": orList(times),
	}}, nil
}

func (p *Portal) command(who caller, command string, results map[string]any) (result, *restError) {
	method, query, _ := strings.Cut(command, "?")
	args, err := parseForm(query)
	if err != nil {
		return result{}, fail(400, "ERROR_ARGUMENT", "%v", err)
	}
	substitute(args, results)
	return p.run(who, strings.ToLower(method), args)
}

// substitute puts earlier results in. What cannot be found becomes empty, as in
// the real system: a careless caller then lists from the beginning.
func substitute(args map[string]any, results map[string]any) {
	for key, v := range args {
		switch v := v.(type) {
		case map[string]any:
			substitute(v, results)
		case string:
			if strings.Contains(v, "$result") {
				args[key] = reference.ReplaceAllStringFunc(v, func(ref string) string {
					var at any = results
					for _, step := range splitKey(ref)[1:] {
						at = exact(at, step)
					}
					return text(at)
				})
			}
		}
	}
}

// exact is child without the leniency about letters.
func exact(v any, name string) any {
	if m, ok := v.(map[string]any); ok {
		return m[name]
	}
	return child(v, name)
}

// orList writes an empty map as PHP does.
func orList(m map[string]any) any {
	if len(m) == 0 {
		return []any{}
	}
	return m
}

// inOrder gives the names of the commands as they stood in the body.
func inOrder(args, cmd map[string]any) []string {
	if names, ok := args[commandOrder].([]string); ok && len(names) == len(cmd) {
		return names
	}
	return keysInOrder(cmd)
}
