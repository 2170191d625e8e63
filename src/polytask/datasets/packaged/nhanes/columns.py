"""Every column of NHANES 2017-2018: our name for it, or the reason why it is left out."""

from __future__ import annotations

NUTRIENTS = {
    "energy_kcal": "EnergyKcal",
    "protein_g": "ProteinGm",
    "carbohydrate_g": "CarbohydrateGm",
    "sugars_g": "TotalSugarsGm",
    "fibre_g": "DietaryFiberGm",
    "fat_g": "TotalFatGm",
    "saturated_fat_g": "TotalSaturatedFattyAcidsGm",
    "monounsaturated_fat_g": "TotalMonounsaturatedFattyAcidsGm",
    "polyunsaturated_fat_g": "TotalPolyunsaturatedFattyAcidsGm",
    "cholesterol_eaten_mg": "CholesterolMg",
    "alcohol_g": "AlcoholGm",
}

NUMBERS = {
    "age": "AgeInYearsAtScreening",
    "household_income": "AnnualHouseholdIncome",
    "income_to_poverty": "RatioOfFamilyIncomeToPoverty",
    "insured": "CoveredByHealthInsurance",
    **{f"{ours}_day{day}": f"{theirs}_DR{day}TOT" for day in (1, 2) for ours, theirs in NUTRIENTS.items()},
    "meals_away_from_home": "OfMealsNotHomePrepared",
    "meals_fast_food": "OfMealsFromFastFoodOrPizzaPlace",
    "ready_to_eat_foods": "OfReadytoeatFoodsInPast30Days",
    "frozen_meals": "OfFrozenMealspizzaInPast30Days",
    "vigorous_work": "VigorousWorkActivity",
    "moderate_work": "ModerateWorkActivity",
    "walks_or_cycles": "WalkOrBicycle",
    "vigorous_recreation": "VigorousRecreationalActivities",
    "moderate_recreation": "ModerateRecreationalActivities",
    "sedentary_minutes": "MinutesSedentaryActivity",
    "smoked_100_cigarettes": "SmokedAtLeast100CigarettesInLife",
    "smoked_last_5_days": "SmokedTobaccoLast5Days",
    "difficulty_hearing": "HaveSeriousDifficultyHearing",
    "difficulty_seeing": "HaveSeriousDifficultySeeing",
    "difficulty_concentrating": "HaveSeriousDifficultyConcentrating",
    "difficulty_walking": "HaveSeriousDifficultyWalking",
    "difficulty_dressing": "HaveDifficultyDressingOrBathing",
    "pulse": "60SecPulse30SecPulse2",
    "height_cm": "StandingHeightCm",
    "blood_lead": "BloodLeadUgdl",
    "blood_cadmium": "BloodCadmiumUgl",
    "blood_mercury": "BloodMercuryTotalUgl",
    "blood_selenium": "BloodSeleniumUgl",
    "blood_manganese": "BloodManganeseUgl",
}

LEVELS = {
    "sex": "Gender",
    "ethnicity": "RacehispanicOriginWNhAsian",
    "education": "EducationLevelAdults20",
    "school_grade": "EducationLevelChildrenyouth619",
    "marital_status": "MaritalStatus",
    "milk": "Past30DayMilkProductConsumption",
    "salt_at_table": "HowOftenAddSaltToFoodAtTable",
    "smokes_now": "DoYouNowSmokeCigarettes",
}

HOUSEHOLD_SIZE = "TotalNumberOfPeopleInTheHousehold"
MILITARY = "ServedActiveDutyInUsArmedForces"

MEASURED = {
    "bmi": "BodyMassIndexKgm2",
    "cholesterol": "TotalCholesterolMgdl",
    "hdl": "DirectHdlcholesterolMgdl",
    "hba1c": "Glycohemoglobin",
    "systolic": "SystolicBloodPres2NdRdgMmHg",
}
ANSWERED = {"trouble_sleeping": "EverToldDoctorHadTroubleSleeping", "asthma": "EverBeenToldYouHaveAsthma"}
DIABETES = "DoctorToldYouHaveDiabetes"
GENERAL_HEALTH = "GeneralHealthCondition"
BODY_FAT = "TotalPercentFat"

LEFT_OUT = {
    "they give `bmi` away": """
        WeightKg WaistCircumferenceCm TrunkFatG TrunkPercentFat CurrentSelfreportedHeightInches
        CurrentSelfreportedWeightPounds TriedToLoseWeightInPastYear TimesLost10LbsOrMoreToLoseWeight
    """,
    "they are other readings beside `systolic`": """
        SystolicBloodPres1StRdgMmHg SystolicBloodPres3RdRdgMmHg DiastolicBloodPres1StRdgMmHg
        DiastolicBloodPres2NdRdgMmHg DiastolicBloodPres3RdRdgMmHg
    """,
    "they give `diabetes` and `hba1c` away, or are asked according to the diagnosis": """
        TakingInsulinNow TakeDiabeticPillsToLowerBloodSugar EverToldYouHavePrediabetes
        EverToldHaveHealthRiskForDiabetes FamilyHistory WhatWasYourLastA1CLevel AgeWhenFirstToldYouHadDiabetes
        OnSpecialDiet WeightLosslowCalorieDiet LowFatlowCholesterolDiet LowSaltlowSodiumDiet DiabeticDiet
        LowCarbohydrateDiet
    """,
    "they give `trouble_sleeping` away (sleep, snoring, anxiety and depression, and their medication)": """
        UsualSleepTimeOnWeekdaysOrWorkdays UsualWakeTimeOnWeekdaysOrWorkdays SleepHoursWeekdaysOrWorkdays
        HowOftenDoYouSnore HowOftenFeelOverlySleepyDuringDay HowOftenDoYouFeelWorriedOrAnxious
        TakeMedicationForTheseFeelings HowOftenDoYouFeelDepressed TakeMedicationForDepression
        HaveLittleInterestInDoingThings FeelingDownDepressedOrHopeless TroubleSleepingOrSleepingTooMuch
        FeelingTiredOrHavingLittleEnergy PoorAppetiteOrOvereating FeelingBadAboutYourself
        TroubleConcentratingOnThings MovingOrSpeakingSlowlyOrTooFast ThoughtYouWouldBeBetterOffDead
        DifficultyTheseProblemsHaveCaused
    """,
    "they rate health under another name, or are other diagnoses": """
        HowHealthyIsTheDiet HaveDifficultyDoingErrandsAlone ExperienceConfusionmemoryProblems
        PhysicalMentalEmotionalLimitations DifficultyManagingMoney DoctorEverSaidYouHadArthritis
        EverToldYouHadHeartAttack AgeWhenToldYouHadHeartAttack EverToldYouHadAStroke AgeWhenToldYouHadAStroke
        EverToldYouHadCancerOrMalignancy 1StCancerWhatKindWasIt Age1StCancerMcq230ADiagnosed
    """,
    "only some of these people were asked": """
        EverBreastfedOrFedBreastmilk AgeStoppedBreastfeedingdays AgeFirstFedFormuladays AgeStoppedReceivingFormuladays
        AgeStartedOtherFoodbeverage AgeFirstFedMilkdays TypeOfMilkFirstFedWholeMilk TypeOfMilkFirstFed2Milk
        TypeOfMilkFirstFed1Milk TypeOfMilkFirstFedFatFreeMilk TypeOfMilkFirstFedSoyMilk TypeOfMilkFirstFedOther
        CommunitygovernmentMealsDelivered EatMealsAtCommunityseniorCenter AttendKindergartenThruHighSchool
        SchoolServesSchoolLunches OfTimesweekGetSchoolLunch SchoolLunchFreeReducedOrFullPrice
        SchoolServeCompleteBreakfastEachDay OfTimesweekGetSchoolBreakfast SchoolBreakfastFreereducedfullPrice
        SummerProgramMealFreereducedPrice LookedUpMyPlateOnInternet TriedMyPlatePlan 60SecHr30SecHr2
        RecumbentLengthCm AgeInMonthsAtScreening0To24Mos DaysSmokedCigarettesLast5Days CigarettesSmokedPerDay
        AgeStartedSmokingCigarettesRegularly DaysSmokedCigsDuringPast30Days AvgCigarettesdayDuringPast30Days
        TriedToQuitSmoking TimesStoppedSmokingCigarettes HowLongWereYouAbleToStopSmoking
        UnitOfMeasureDayweekmonthyear_2_SMQ EverUsedMarijuanaOrHashish DaysUsedMarijuanaOrHashishmonth
        EverUsedCocaineheroinmethamphetamine EverUseAnyFormOfCocaine OfDaysUsedCocainemonth EverUsedHeroin
        OfDaysUsedHeroinmonth EverUsedMethamphetamine DaysUsedMethamphetaminemonth EverBeenInRehabilitationProgram
    """,
    "another column says nearly the same, or they say little about health": """
        SEQN RacehispanicOrigin AnnualFamilyIncome TotalNumberOfPeopleInTheFamily OfChildren5YearsOrYoungerInHh
        OfChildren617YearsOldInHh OfAdults60YearsOrOlderInHh UsedAnyTobaccoProductLast5Days YouDrinkWholeOrRegularMilk
        YouDrink2FatMilk YouDrink1FatMilk YouDrinkFatFreeskimMilk YouDrinkSoyMilk YouDrinkAnotherTypeOfMilk
        RegularMilkUse5TimesPerWeek HowOftenDrankMilkAge512 HowOftenDrankMilkAge1317 HowOftenDrankMilkAge1835
        HeardOfMyPlate MainMealPlannerpreparer SharedMealPlanningpreparingDuty MainFoodShopper
        SharedFoodShoppingDuty TunaEatenDuringPast30Days
    """,
}
"""Why a column of the source is neither feature nor target, and which columns these are. With the mappings above it
accounts for every column of the source."""
