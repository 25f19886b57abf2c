// SPDX-License-Identifier: Apache-2.0

// The conformance cases of OPA's Go module, as test/unit/rego/test_cases.c reads them: one JSON object a line, with the
// version of the language and the file it is from. Its one argument is the folder of the module.
package main

import (
	"bufio"
	"encoding/json"
	"log"
	"os"
	"path/filepath"

	"github.com/open-policy-agent/opa/v1/test/cases"
)

type line struct {
	Rego     string `json:"rego"`
	Category string `json:"category"`
	File     string `json:"file"`
	cases.TestCase
}

func main() {
	out := bufio.NewWriter(os.Stdout)
	for _, version := range []string{"v0", "v1"} {
		root := filepath.Join(os.Args[1], "v1", "test", "cases", "testdata", version)
		set, err := cases.Load(root)
		if err != nil {
			log.Fatal(err)
		}
		for _, c := range set.Cases {
			file, err := filepath.Rel(root, c.Filename)
			if err != nil {
				log.Fatal(err)
			}
			text, err := json.Marshal(line{version, filepath.Dir(file), file, c})
			if err != nil {
				log.Fatal(err)
			}
			if _, err := out.Write(append(text, '\n')); err != nil {
				log.Fatal(err)
			}
		}
	}
	if err := out.Flush(); err != nil {
		log.Fatal(err)
	}
}
